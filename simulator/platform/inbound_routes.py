"""Take the customers' messages from the integrator's own connector."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, jsonify, request

from simulator.platform.answers import error

if TYPE_CHECKING:
    from simulator.platform.organisation import Organisation
    from simulator.platform.talks import Talks


def inbound_routes(organisation: Organisation, talks: Talks) -> Blueprint:
    """Return the views that let customers write.

    Args:
        organisation: Whose integrations they write to.
        talks: Where what they write goes on.
    """
    routes = Blueprint("inbound", __name__)

    @routes.post("/conversations/messages/<integration_id>/inbound/open/message")
    def write(integration_id: str) -> tuple[Response, int]:
        """Begin a conversation with a message, or go on with the customer's open one."""
        if integration_id not in organisation.registrations.integrations:
            return error(404, "not.found", "The requested resource was not found.")
        body = request.get_json()
        channel, text = body.get("channel") or {}, body.get("text")
        sender = channel.get("from") or {}
        if not sender.get("id") or not channel.get("time") or not text:
            return error(400, "bad.request", "channel.from.id, channel.time and text are required")
        conversation_id, message_id = talks.write(str(sender["id"]), str(text))
        answer: dict[str, Any] = {"id": message_id, "type": "Text", "text": text}
        answer["channel"] = {
            "id": integration_id,
            "platform": "Open",
            "type": "Private",
            "messageId": message_id,
            "to": {"id": integration_id},
            "from": sender,
            "time": channel["time"],
        }
        if request.args.get("prefetchConversationId") == "true":
            answer["conversationId"] = conversation_id
        return jsonify(answer), 202

    return routes
