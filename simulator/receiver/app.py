"""Answer as a service behind would: verify the signature, take the event, or fail as told to."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from flask import Flask, Response, jsonify, request
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from simulator.receiver.inbox import Told

if TYPE_CHECKING:
    from simulator.receiver.inbox import Inbox


def create_receiver(inbox: Inbox) -> Flask:
    """Return an application with a path for each destination; `GET /` tells the counts."""
    app = Flask("simulator.receiver")

    @app.post("/<destination>")
    def receive(destination: str) -> Response:
        """Take one event."""
        raw = request.get_data()
        try:
            body = Webhook(inbox.secrets[destination]).verify(raw, dict(request.headers))
        except (KeyError, WebhookVerificationError):
            inbox.forge()
            return Response(status=401)
        told = Told(
            destination,
            request.headers["webhook-id"],
            body["type"],
            body["conversation_id"],
            body["sequence"],
            body["late"],
            body,
            raw,
        )
        return _answer(inbox, told)

    @app.get("/")
    def counts() -> Response:
        """Tell what was taken."""
        return jsonify(inbox.counts())

    return app


def _answer(inbox: Inbox, told: Told) -> Response:
    inbox.ask(told)
    fault = inbox.fault_of(told)
    if fault is None:
        inbox.take(told)
        return Response(status=204)
    time.sleep(fault.delay)
    if 200 <= fault.status < 300:
        inbox.take(told)
    headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
    return Response(status=fault.status, headers=headers)
