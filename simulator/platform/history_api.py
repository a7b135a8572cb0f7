"""The API over the history: conversations of a time (analytics), their messages and receipts."""

from datetime import date, datetime
from typing import Any, Final

from flask import Blueprint, Response, jsonify, request

from simulator.platform.history import History, PastConversation, PastMessage
from simulator.platform.registrations import ApiError, NotFoundError

MAX_PAGE_SIZE: Final = 100
MAX_MESSAGES: Final = 1000
"""Messages of one request.

Source: post_conversations_message_messages_bulk of the official Python SDK, release 269.
"""


def history_routes(history: History) -> Blueprint:
    """Return the API over *history*."""
    routes = Blueprint("history", __name__)

    @routes.get("/conversations/messages/<conversation_id>")
    def message_conversation(conversation_id: str) -> dict[str, Any]:
        """Return participants and message ids: the model MessageConversation."""
        return _as_message_conversation(_find(history, conversation_id))

    @routes.post("/conversations/messages/<conversation_id>/messages/bulk")
    def messages_in_bulk(conversation_id: str) -> Response:
        """Return the messages whose ids the body lists: the model TextMessageListing."""
        wanted = request.get_json()
        if not isinstance(wanted, list) or len(wanted) > MAX_MESSAGES:
            raise ApiError(400, "bad.request", f"At most {MAX_MESSAGES} message ids.")
        found = _find(history, conversation_id)
        messages = [message for message in found.known_messages if message.message_id in wanted]
        return jsonify(entities=[as_data(found, message) for message in messages])

    _add_analytics(routes, history)
    return routes


def _add_analytics(routes: Blueprint, history: History) -> None:
    @routes.post("/analytics/conversations/details/query")
    def query_details() -> Response:
        """Return the conversations that started on a day of the interval.

        Source: `interval` of the model ConversationQuery, official Python SDK, release 269.
        """
        query = request.get_json()
        first, last, size, number = _parse_query(query)
        started = [
            one
            for one in history.conversations()
            if first <= datetime.fromisoformat(one.start_time).date() <= last
        ]
        if query.get("order") == "desc":
            started.reverse()
        page = started[(number - 1) * size : number * size]
        return jsonify(conversations=[_as_analytics(one) for one in page], totalHits=len(started))

    @routes.get("/analytics/conversations/details")
    def details() -> Response:
        """Return the conversations whose ids the query lists, separated by commas.

        Source: get_analytics_conversations_details of the official Python SDK, release 269.
        """
        ids = request.args.get("id", "").split(",")
        if len(ids) > MAX_PAGE_SIZE:
            raise ApiError(400, "bad.request", f"At most {MAX_PAGE_SIZE} ids.")
        found = [history.conversation(conversation_id) for conversation_id in ids]
        return jsonify(conversations=[_as_analytics(one) for one in found if one is not None])


def _find(history: History, conversation_id: str) -> PastConversation:
    found = history.conversation(conversation_id)
    if found is None:
        raise NotFoundError
    return found


def _parse_query(query: dict[str, Any]) -> tuple[date, date, int, int]:
    """Return the interval's first and last day, the page's size and its number."""
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
    messages = len(conversation.known_messages)
    count = {"name": "oMessageCount", "value": messages, "emitDate": conversation.start_time}
    session = {"mediaType": "message", "messageType": "open", "direction": "inbound", "metrics": [count]}
    return {
        "conversationId": conversation.conversation_id,
        "conversationStart": conversation.start_time,
        **({"conversationEnd": conversation.end_time} if conversation.end_time else {}),
        "originatingDirection": "inbound",
        "participants": [{"purpose": "customer", "sessions": [session]}],
    }


def _as_message_conversation(conversation: PastConversation) -> dict[str, Any]:
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
                {"messageId": one.message_id, "messageTime": one.time, "messageStatus": one.status}
                for one in conversation.known_messages
                if one.direction == direction
            ],
        }
        for purpose, direction in (("customer", "inbound"), ("agent", "outbound"))
    ]
    return {"id": conversation.conversation_id, "participants": participants, "recentTransfers": []}


def as_data(conversation: PastConversation, message: PastMessage) -> dict[str, Any]:
    """Return the platform's model MessageData."""
    return {
        "id": message.message_id,
        "timestamp": message.time,
        "direction": message.direction,
        "messengerType": "open",
        "status": message.status,
        "normalizedMessage": message.content,
        "normalizedReceipts": list(message.receipts),
        "conversationId": conversation.conversation_id,
    }
