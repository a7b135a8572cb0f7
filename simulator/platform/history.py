"""Store all messages and receipts, even those that no webhook received, and serve them through the API."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final

from flask import Blueprint, Response, jsonify, request

from simulator.platform.registrations import ApiError, NotFoundError

MAX_PAGE_SIZE: Final = 100
MAX_MESSAGES: Final = 1000
"""Maximum number of message ids in a request: post_conversations_message_messages_bulk, Python SDK 269."""

KEPT_FIELDS: Final = (
    "id",
    "type",
    "text",
    "content",
    "status",
    "reasons",
    "originatingEntity",
    "isFinalReceipt",
    "direction",
    "metadata",
)
"""The fields of a webhook's body that the history returns. The history's model has no conversationId."""

KEPT_CHANNEL_FIELDS: Final = ("id", "platform", "type", "messageId", "to", "from", "time")

STATUSES: Final = {
    "Sent": "sent",
    "Published": "published",
    "Delivered": "delivery-success",
    "Read": "read",
    "Failed": "delivery-failed",
    "Removed": "removed",
}
"""Maps the status of a message's newest receipt to the status of the message."""


@dataclass(slots=True)
class PastMessage:
    """One message and its receipts, in order of arrival, each as a ConversationNormalizedMessage."""

    message_id: str
    content: dict[str, Any] | None = None  # None if only receipts are known
    receipts: list[dict[str, Any]] = field(default_factory=list)

    def as_data(self, conversation_id: str) -> dict[str, Any]:
        """Return the message, whose content must be known, as the platform's API model MessageData."""
        content = self.content or {}
        newest = str(self.receipts[-1].get("status")) if self.receipts else "Sent"
        return {
            "id": self.message_id,
            "timestamp": content["channel"]["time"],
            "direction": str(content.get("direction") or "Outbound").lower(),
            "messengerType": "open",
            "status": STATUSES.get(newest, "sent"),
            "normalizedMessage": content,
            "normalizedReceipts": list(self.receipts),
            "conversationId": conversation_id,
        }


@dataclass(slots=True)
class PastConversation:
    """One conversation, with its messages by id in order of arrival."""

    conversation_id: str
    start_time: str
    end_time: str | None = None
    messages: dict[str, PastMessage] = field(default_factory=dict)

    def known_messages(self) -> list[dict[str, Any]]:
        """Return every message whose content is known, as the platform's API model MessageData."""
        known = [message for message in list(self.messages.values()) if message.content is not None]
        return [message.as_data(self.conversation_id) for message in known]


class History:
    """The history of every conversation: one thread at a time may record, and any thread may read."""

    def __init__(self) -> None:
        self.conversations: dict[str, PastConversation] = {}

    def record(self, payload: Mapping[str, Any]) -> None:
        """Record a webhook's body, even if the webhook is never sent. Recording it again has no effect."""
        conversation_id = payload.get("conversationId")
        if not isinstance(conversation_id, str):
            return
        is_guide = "eventType" in payload
        content = _as_guide_content(conversation_id, payload) if is_guide else as_normalized(payload)
        at = content["channel"]["time"]
        conversation = self.conversations.setdefault(conversation_id, PastConversation(conversation_id, at))
        conversation.start_time = min(conversation.start_time, at)
        if content.get("type") == "Event" or "id" not in content:
            return
        message = conversation.messages.setdefault(content["id"], PastMessage(content["id"]))
        if content.get("type") != "Receipt":
            message.content = message.content or content
        elif content not in message.receipts:
            message.receipts.append(content)

    def end(self, conversation_id: str, at: str) -> None:
        """Record the end of a conversation if the history contains it."""
        if found := self.conversations.get(conversation_id):
            found.end_time = at


def _as_guide_content(conversation_id: str, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Convert the guide's envelope to the history's model, which has only the time and a message."""
    message = payload.get("message")
    if not isinstance(message, dict):
        return {"channel": {"time": payload["timestamp"]}}
    # Make an id if the body has none: on the platform, every message has an id.
    identity = f"{conversation_id} {payload['timestamp']} {payload.get('sequence')} {message.get('text')}"
    message_id = message.get("id") or uuid.uuid5(uuid.NAMESPACE_OID, identity).hex
    channel = {"id": payload["channel"]["externalId"], "platform": "Open", "time": payload["timestamp"]}
    return {
        "id": message_id,
        "channel": {**channel, "type": "Private", "messageId": message_id},
        "type": "Text",
        "text": message.get("text"),
        "direction": str(message.get("direction", "inbound")).capitalize(),
    }


def as_normalized(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return a webhook's body as the history shows it: the API model ConversationNormalizedMessage."""
    kept = {name: payload[name] for name in KEPT_FIELDS if payload.get(name) is not None}
    channel = payload["channel"]
    kept["channel"] = {name: channel[name] for name in KEPT_CHANNEL_FIELDS if channel.get(name) is not None}
    return kept


def history_routes(history: History) -> Blueprint:
    """Return the API's routes for *history*."""
    routes = Blueprint("history", __name__)

    @routes.get("/conversations/messages/<conversation_id>")
    def message_conversation(conversation_id: str) -> dict[str, Any]:
        """Return the participants and their message ids, as the API model MessageConversation."""
        conversation = _find(history, conversation_id)
        participants = [
            {
                "id": f"{conversation.conversation_id}-{purpose}",
                "purpose": purpose,
                "direction": "inbound",
                "state": "disconnected" if conversation.end_time else "connected",
                "startTime": conversation.start_time,
                "endTime": conversation.end_time,
                "type": "open",
                "messages": [
                    {"messageId": one["id"], "messageTime": one["timestamp"], "messageStatus": one["status"]}
                    for one in conversation.known_messages()
                    if one["direction"] == direction
                ],
            }
            for purpose, direction in (("customer", "inbound"), ("agent", "outbound"))
        ]
        return {"id": conversation.conversation_id, "participants": participants, "recentTransfers": []}

    @routes.post("/conversations/messages/<conversation_id>/messages/bulk")
    def messages_in_bulk(conversation_id: str) -> Response:
        """Return the messages whose ids the request's body lists, as the API model TextMessageListing."""
        wanted = request.get_json()
        if not isinstance(wanted, list) or len(wanted) > MAX_MESSAGES:
            raise ApiError(400, "bad.request", f"At most {MAX_MESSAGES} message ids.")
        messages = _find(history, conversation_id).known_messages()
        return jsonify(entities=[message for message in messages if message["id"] in wanted])

    _add_analytics(routes, history)
    return routes


def _add_analytics(routes: Blueprint, history: History) -> None:
    @routes.post("/analytics/conversations/details/query")
    def query_details() -> Response:
        """Return the conversations that started on a day of `interval`: model ConversationQuery, SDK 269."""
        query = request.get_json()
        first, last, size, number = _parse_query(query)
        started = [
            one
            for one in list(history.conversations.values())
            if first <= datetime.fromisoformat(one.start_time).date() <= last
        ]
        is_reversed = query.get("order") == "desc"
        started.sort(key=lambda one: (one.start_time, one.conversation_id), reverse=is_reversed)
        page = started[(number - 1) * size : number * size]
        return jsonify(conversations=[_as_analytics(one) for one in page], totalHits=len(started))

    @routes.get("/analytics/conversations/details")
    def details() -> Response:
        """Return the conversations with these ids, as SDK 269's get_analytics_conversations_details does."""
        ids = request.args.get("id", "").split(",")
        if len(ids) > MAX_PAGE_SIZE:
            raise ApiError(400, "bad.request", f"At most {MAX_PAGE_SIZE} ids.")
        found = [history.conversations[one] for one in ids if one in history.conversations]
        return jsonify(conversations=[_as_analytics(one) for one in found])


def _find(history: History, conversation_id: str) -> PastConversation:
    if conversation_id not in history.conversations:
        raise NotFoundError
    return history.conversations[conversation_id]


def _parse_query(query: dict[str, Any]) -> tuple[date, date, int, int]:
    """Return the first and last day of the interval, the size of a page and the page's number."""
    try:
        days = [datetime.fromisoformat(moment).date() for moment in query["interval"].split("/")]
        paging = query.get("paging") or {}
        size, number = int(paging.get("pageSize", 25)), int(paging.get("pageNumber", 1))
    except (KeyError, ValueError, TypeError, AttributeError):
        raise ApiError(400, "bad.request", "The interval or the paging is malformed.") from None
    if not 1 <= size <= MAX_PAGE_SIZE or number < 1:
        raise ApiError(400, "bad.request", f"A page has 1 to {MAX_PAGE_SIZE} conversations.")
    return days[0], days[-1], size, number


def _as_analytics(conversation: PastConversation) -> dict[str, Any]:
    messages = len(conversation.known_messages())
    count = {"name": "oMessageCount", "value": messages, "emitDate": conversation.start_time}
    session = {"mediaType": "message", "messageType": "open", "direction": "inbound", "metrics": [count]}
    return {
        "conversationId": conversation.conversation_id,
        "conversationStart": conversation.start_time,
        **({"conversationEnd": conversation.end_time} if conversation.end_time else {}),
        "originatingDirection": "inbound",
        "participants": [{"purpose": "customer", "sessions": [session]}],
    }
