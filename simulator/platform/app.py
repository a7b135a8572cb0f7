"""Answer as the platform's API does, over an Organisation."""

from __future__ import annotations

import base64
import binascii
import hmac
import time
import uuid
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Flask, Response, g, jsonify, make_response, request

from messaging.host_header import refuse_foreign_hosts
from simulator.platform.analytics import analytics_routes
from simulator.platform.answers import error
from simulator.platform.history_routes import history_routes
from simulator.platform.inbound_routes import inbound_routes
from simulator.platform.page import page_routes
from simulator.platform.registration_routes import registration_routes
from simulator.platform.talks import Talks

if TYPE_CHECKING:
    from simulator.platform.organisation import Conversation, Fault, Organisation, Participant
    from simulator.platform.page import Fates

API = "/api/v2"


def create_platform(
    organisation: Organisation, *, has_page: bool = False, fates: Fates | None = None
) -> Flask:
    """Return the platform's application.

    Args:
        organisation: What is behind it.
        has_page: Whether there is a page for a browser.
        fates: Says there what became of a webhook behind the edge.
    """
    app = Flask("simulator.platform")
    talks = Talks(organisation)
    if has_page:
        app.register_blueprint(page_routes(organisation, talks, fates))
    app.register_blueprint(_login(organisation))
    app.register_blueprint(_api(organisation, talks), url_prefix=API)
    app.after_request(_lose_answer)
    app.after_request(partial(_add_headers, organisation))
    app.wsgi_app = refuse_foreign_hosts(app.wsgi_app)  # type: ignore[assignment,method-assign]  # as Flask documents it
    return app


def _login(organisation: Organisation) -> Blueprint:
    login = Blueprint("login", __name__)

    @login.post("/oauth/token")
    def issue_token() -> tuple[Response, int]:
        """Give an access token for the client's credentials."""
        if organisation.login_answers:
            body, status = organisation.login_answers.popleft()
            return Response(body), status
        if request.form.get("grant_type") != "client_credentials":
            return jsonify(error="unsupported_grant_type"), 400
        if not _are_credentials(organisation, request.headers.get("Authorization", "")):
            return jsonify(error="invalid_client", description="client not found"), 400
        token = organisation.issue_token()
        answer = {"access_token": token, "token_type": "bearer", "expires_in": organisation.token_seconds}
        return jsonify(answer), 200

    return login


def _api(organisation: Organisation, talks: Talks) -> Blueprint:
    api = Blueprint("api", __name__)

    @api.before_request
    def guard() -> tuple[Response, int] | None:
        """Take its time, fail as told to, ask for a token, count."""
        time.sleep(organisation.latency)
        return _struck(organisation) or _unauthorised(organisation) or _over_the_limit(organisation)

    @api.get("/conversations/<conversation_id>")
    def conversation(conversation_id: str) -> tuple[Response, int]:
        """Return one conversation."""
        if conversation_id in organisation.forbidden:
            return error(403, "missing.division.permission", "Missing the permission conversation:view.")
        found = organisation.find(conversation_id)
        if found is None:
            return error(404, "not.found", "The requested resource was not found.")
        return jsonify(as_conversation(found)), 200

    @api.get("/ipranges")
    def address_ranges() -> tuple[Response, int]:
        """Return the published address ranges: the platform's model IpAddressRangeListing."""
        return jsonify(entities=[asdict(each) for each in organisation.address_ranges]), 200

    @api.post("/conversations/messages/<integration_id>/inbound/open/receipt")
    def receive_receipt(integration_id: str) -> tuple[Response, int]:
        """Take what became of a message that the platform sent out."""
        organisation.receipts.append({"integration": integration_id, **request.get_json()})
        return jsonify({}), 202

    api.register_blueprint(history_routes(organisation.history))
    api.register_blueprint(analytics_routes(organisation.history))
    api.register_blueprint(registration_routes(organisation))
    api.register_blueprint(inbound_routes(organisation, talks))
    return api


def as_conversation(conversation: Conversation) -> dict[str, Any]:
    """Return the platform's model Conversation."""
    return {
        "id": conversation.conversation_id,
        "startTime": conversation.start_time,
        "endTime": conversation.end_time,
        "participants": [_as_participant(each) for each in conversation.participants],
        "divisions": [],
        "recentTransfers": [],
        "selfUri": f"{API}/conversations/{conversation.conversation_id}",
    }


def _as_participant(participant: Participant) -> dict[str, Any]:
    return {
        "id": str(uuid.uuid5(uuid.NAMESPACE_OID, repr(participant))),
        "purpose": participant.purpose,
        "queueId": participant.queue_id,
        "userId": participant.user_id,
        "endTime": participant.end_time,
        "messages": [
            {
                "state": each.state,
                "direction": each.direction,
                "provider": each.provider,
                "type": each.kind,
                "messages": [],
            }
            for each in participant.communications
        ],
    }


def _are_credentials(organisation: Organisation, header: str) -> bool:
    kind, _, encoded = header.partition(" ")
    try:
        given = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        return False
    expected = f"{organisation.client_id}:{organisation.client_secret}".encode()
    return kind == "Basic" and hmac.compare_digest(given, expected)


def _struck(organisation: Organisation) -> tuple[Response, int] | None:
    fault = organisation.next_fault(request.method)
    if fault is None:
        return None
    if fault.is_carried_out:
        g.fault = fault
        return None
    return _failed(fault)


def _lose_answer(response: Response) -> Response:
    """Say that it failed, though it was done."""
    fault = g.pop("fault", None)
    return response if fault is None else make_response(_failed(fault))


def _failed(fault: Fault) -> tuple[Response, int]:
    time.sleep(fault.delay)
    response, status = error(fault.status, "internal.error", "Told to fail.")
    if fault.retry_after is not None:
        response.headers["Retry-After"] = str(fault.retry_after)
    return response, status


def _unauthorised(organisation: Organisation) -> tuple[Response, int] | None:
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    if kind == "Bearer" and organisation.knows(token):
        return None
    return error(401, "bad.credentials", "Invalid login credentials.")


def _over_the_limit(organisation: Organisation) -> tuple[Response, int] | None:
    seconds = organisation.seconds_until_room(f"{request.method} {request.path}")
    if not seconds:
        return None
    response, status = error(429, "too.many.requests", "Rate limit exceeded the maximum.")
    response.headers["Retry-After"] = str(max(1, round(seconds + 0.5)))
    return response, status


def _add_headers(organisation: Organisation, response: Response) -> Response:
    """Add what the platform's answers carry, with the names that real ones were seen to have."""
    response.headers["inin-correlation-id"] = str(uuid.uuid4())
    response.headers["inin-ratelimit-allowed"] = str(organisation.requests_per_minute)
    response.headers["inin-ratelimit-count"] = str(organisation.asked_in_the_last_minute())
    return response
