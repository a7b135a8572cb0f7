"""Name the edge's routes and answer them as Flask views."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from flask import Blueprint, Response, jsonify, request

from webhook_api.ingest import TOO_LARGE, body_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from webhook_api.health import Health
    from webhook_api.ingest import Answer, Ingest

WEBHOOK_PATH: Final = "/webhooks/genesys/openmessaging"


def blueprint(ingest: Ingest, health: Callable[[], Health]) -> Blueprint:
    """Return the views over their collaborators.

    Args:
        ingest: What the webhook's view calls, like the worker's short cut.
        health: Takes a fresh report.
    """
    routes = Blueprint("edge", __name__)

    @routes.post(WEBHOOK_PATH)
    def receive_webhook() -> Response:
        """Take one event in."""
        return _response(_take_in(ingest))

    @routes.get("/health/live")
    def live() -> Response:
        """Say that this process answers."""
        return jsonify(status="live")

    @routes.get("/health/ready")
    def ready() -> tuple[Response, int]:
        """Say whether events are taken in, and the state of the journal, the broker and the queue."""
        report = health()
        return jsonify(report.details), 200 if report.is_ready else 503

    return routes


def _take_in(ingest: Ingest) -> Answer:
    refusal = ingest.admit()
    if refusal is not None:
        return refusal
    if (request.content_length or 0) > ingest.max_body_bytes:
        return TOO_LARGE
    headers = {name.lower().encode("latin-1"): value.encode("latin-1") for name, value in request.headers}
    return ingest.accept(request.get_data(cache=False), headers)


def _response(answer: Answer) -> Response:
    response = Response(body_of(answer), status=answer.status, mimetype="application/json")
    if answer.retry_after is not None:
        response.headers["Retry-After"] = str(answer.retry_after)
    return response
