"""Answer what was said in a conversation, as the platform's API does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from flask import Blueprint, Response, jsonify, request

from simulator.platform.answers import error

if TYPE_CHECKING:
    from simulator.platform.history import History, PastConversation, PastMessage

MOST_AT_ONCE: Final = 1000
"""Messages of one request.

Source: post_conversations_message_messages_bulk of the official Python SDK, release 269.
"""


def history_routes(history: History) -> Blueprint:
    """Return the part of the API that tells what was said."""
    routes = Blueprint("history", __name__)

    @routes.get("/conversations/messages/<conversation_id>")
    def message_conversation(conversation_id: str) -> tuple[Response, int]:
        """Return who took part and which messages there were: the model MessageConversation."""
        found = history.conversation(conversation_id)
        return _not_found() if found is None else (jsonify(_as_message_conversation(found)), 200)

    @routes.post("/conversations/messages/<conversation_id>/messages/bulk")
    def messages_in_bulk(conversation_id: str) -> tuple[Response, int]:
        """Return the messages that the body lists by their ids: the model TextMessageListing."""
        wanted = request.get_json()
        if not isinstance(wanted, list) or len(wanted) > MOST_AT_ONCE:
            return error(400, "bad.request", f"At most {MOST_AT_ONCE} message ids.")
        found = history.conversation(conversation_id)
        if found is None:
            return _not_found()
        entities = [as_data(found, each) for each in found.said if each.message_id in wanted]
        return jsonify(entities=entities), 200

    @routes.get("/conversations/messages/<conversation_id>/messages/<message_id>")
    def message(conversation_id: str, message_id: str) -> tuple[Response, int]:
        """Return one message: the model MessageData."""
        found = history.conversation(conversation_id)
        for each in found.said if found else ():
            if found and each.message_id == message_id:
                return jsonify(as_data(found, each)), 200
        return _not_found()

    return routes


def _not_found() -> tuple[Response, int]:
    return error(404, "not.found", "The requested resource was not found.")


def _as_message_conversation(conversation: PastConversation) -> dict[str, Any]:
    state = "disconnected" if conversation.end_time else "connected"
    participants = [
        {
            "id": f"{conversation.conversation_id}-{purpose}",
            "purpose": purpose,
            "direction": "inbound",
            "state": state,
            "startTime": conversation.start_time,
            "endTime": conversation.end_time,
            "type": "open",
            "messages": [
                {"messageId": each.message_id, "messageTime": each.time, "messageStatus": each.status}
                for each in conversation.said
                if each.direction == direction
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
