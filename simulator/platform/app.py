"""Create the simulated platform's application: login, API and page of an Organisation."""

import hmac
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from flask import Blueprint, Flask, Response, g, jsonify, request

from messaging.host_header import refuse_foreign_hosts
from simulator.platform.chats import Chats
from simulator.platform.history import history_routes
from simulator.platform.organisation import Conversation, Fault, Organisation
from simulator.platform.page import page_routes
from simulator.platform.registrations import ApiError, NotFoundError, registration_routes
from simulator.serving import serve_app

API: Final = "/api/v2"
COMMUNICATION: Final = {
    "state": "connected",
    "direction": "inbound",
    "provider": "PureCloud Messaging",
    "type": "open",
    "messages": [],
}
"""Each participant's communication, as the platform's API model Message."""


def create_platform(organisation: Organisation, database_url: str = "") -> Flask:
    """Return the platform's application. If *database_url* is given, its page shows what the workers did."""
    app = Flask("simulator.platform")
    chats = Chats(organisation)
    app.register_blueprint(page_routes(organisation, chats, database_url))
    api = _api(organisation, chats)
    api.register_blueprint(history_routes(organisation.history))
    api.register_blueprint(registration_routes(organisation.registrations, organisation.outbound.statistics))
    app.register_blueprint(api, url_prefix=API)
    app.register_error_handler(ApiError, ApiError.render)

    app.add_url_rule("/oauth/token", "login", view_func=lambda: _issue_token(organisation), methods=["POST"])

    @app.after_request
    def finish(response: Response) -> Response:
        """Replace the response if a fault requires it, and add the headers that the real platform sends."""
        if fault := g.get("fault"):
            response = _wait_for_fault(fault).render()
        response.headers["inin-correlation-id"] = str(uuid.uuid4())
        response.headers["inin-ratelimit-allowed"] = str(organisation.requests_per_minute)
        response.headers["inin-ratelimit-count"] = str(organisation.recent_requests())
        return response

    app.wsgi_app = refuse_foreign_hosts(app.wsgi_app)  # type: ignore[assignment,method-assign]  # as Flask documents it
    return app


@contextmanager
def serve_platform(organisation: Organisation, port: int, database_url: str = "") -> Iterator[str]:
    """Serve *organisation* and its page in a thread and yield the URL."""
    try:
        with serve_app(create_platform(organisation, database_url), port) as url:
            yield url
    finally:
        organisation.outbound.stop()


def _issue_token(organisation: Organisation) -> Response | tuple[Response, int]:
    if request.form.get("grant_type") != "client_credentials":
        return jsonify(error="unsupported_grant_type"), 400
    given = request.authorization
    login = f"{given.username}:{given.password}" if given and given.type == "basic" else ""
    expected = f"{organisation.client_id}:{organisation.client_secret}"
    if not hmac.compare_digest(login.encode(), expected.encode()):
        return jsonify(error="invalid_client", description="client not found"), 400
    token, seconds = organisation.issue_token(), organisation.token_seconds
    return jsonify(access_token=token, token_type="bearer", expires_in=seconds)  # noqa: S106  a type


def _api(organisation: Organisation, chats: Chats) -> Blueprint:
    api = Blueprint("api", __name__)

    @api.before_request
    def admit() -> None:
        """Apply a fault, authorisation and the rate limit; `finish` applies a fault that drops the answer."""
        fault = organisation.next_fault(request.method)
        if fault is not None and not fault.is_carried_out:
            raise _wait_for_fault(fault)
        g.fault = fault
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if kind != "Bearer" or not organisation.is_valid(token):
            raise ApiError(401, "bad.credentials", "Invalid login credentials.")
        if seconds := organisation.take_request(f"{request.method} {request.path}"):
            wait = max(1, round(seconds + 0.5))
            raise ApiError(429, "too.many.requests", "Rate limit exceeded the maximum.", wait)

    @api.get("/conversations/<conversation_id>")
    def conversation(conversation_id: str) -> dict[str, Any]:
        if (found := organisation.find(conversation_id)) is None:
            raise NotFoundError
        return as_conversation(found)

    @api.get("/ipranges")
    def address_ranges() -> Response:
        """Return the published address ranges, as the platform's API model IpAddressRangeListing."""
        return jsonify(entities=organisation.address_ranges)

    @api.patch("/conversations/messages/<conversation_id>")
    def change_conversation(conversation_id: str) -> dict[str, Any]:
        chats.end(conversation_id)
        return {}

    _add_inbound_routes(api, organisation, chats)
    return api


def _add_inbound_routes(api: Blueprint, organisation: Organisation, chats: Chats) -> None:
    """Add the routes to which the integrator's connector posts receipts and customers' messages."""

    @api.post("/conversations/messages/<integration_id>/inbound/open/receipt")
    def receive_receipt(integration_id: str) -> tuple[Response, int]:
        """Accept a receipt for a message that the platform sent out."""
        organisation.receipts.append({"integration": integration_id, **request.get_json()})
        return jsonify({}), 202

    @api.post("/conversations/messages/<integration_id>/inbound/open/message")
    def receive_message(integration_id: str) -> tuple[dict[str, Any], int]:
        """Accept a customer's message: begin a conversation, or continue the customer's open one."""
        if integration_id not in organisation.registrations.integrations:
            raise NotFoundError
        body = request.get_json()
        channel, text = body.get("channel") or {}, body.get("text")
        sender = channel.get("from") or {}
        if not sender.get("id") or not channel.get("time") or not text:
            raise ApiError(400, "bad.request", "channel.from.id, channel.time and text are required")
        conversation_id, message_id = chats.continue_or_begin(str(sender["id"]), str(text))
        channel = {"messageId": message_id, "from": sender, "time": channel["time"]}
        channel |= {"id": integration_id, "platform": "Open", "type": "Private", "to": {"id": integration_id}}
        answer = {"id": message_id, "type": "Text", "text": text, "channel": channel}
        if request.args.get("prefetchConversationId") == "true":
            answer["conversationId"] = conversation_id
        return answer, 202


def as_conversation(conversation: Conversation) -> dict[str, Any]:
    """Return *conversation* as the platform's API model Conversation."""
    return {
        "id": conversation.conversation_id,
        "startTime": conversation.start_time,
        "endTime": conversation.end_time,
        "participants": [
            {
                "id": str(uuid.uuid5(uuid.NAMESPACE_OID, repr(participant))),
                "purpose": participant.purpose,
                "queueId": participant.queue_id,
                "userId": participant.user_id,
                "endTime": participant.end_time,
                "messages": [COMMUNICATION],
            }
            for participant in conversation.participants
        ],
        "divisions": [],
        "recentTransfers": [],
        "selfUri": f"{API}/conversations/{conversation.conversation_id}",
    }


def _wait_for_fault(fault: Fault) -> ApiError:
    time.sleep(fault.delay)
    return ApiError(fault.status, "internal.error", "An injected fault.", fault.retry_after)
