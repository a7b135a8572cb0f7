"""Name the edge's routes and answer them as Flask views."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from flask import Blueprint, Response, jsonify, request
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, default_exceptions

from messaging.host_header import is_own_host
from webhook_api.answer import rendered
from webhook_api.ingest import TOO_LARGE
from webhook_api.metrics import CONTENT_TYPE, metrics_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from werkzeug.exceptions import HTTPException

    from webhook_api.answer import Answer
    from webhook_api.health import Health
    from webhook_api.ingest import Ingest

WEBHOOK_PATH: Final = "/webhooks/genesys/openmessaging"
BUS_PATH: Final = "/webhooks/genesys/events"
"""Where an API destination of Amazon EventBridge posts the platform's detail events."""

FAILURE: Final = "webhook_api.failure"
"""The environ's key of what the short path raised, for Flask to handle."""


def blueprint(ingest: Ingest, health: Callable[[], Health]) -> Blueprint:
    """Return the views over their collaborators.

    Args:
        ingest: Takes webhooks in.
        health: Takes a fresh report.
    """
    routes = Blueprint("edge", __name__)

    @routes.post(WEBHOOK_PATH)
    def receive_webhook() -> Response:
        """Take one event in."""
        failure = request.environ.get(FAILURE)
        if failure is not None:
            raise failure
        return _answered(ingest.accept)

    @routes.post(BUS_PATH)
    def receive_detail_event() -> Response:
        """Take one event of the event bus in."""
        return _answered(ingest.accept_from_bus)

    @routes.get("/health/live")
    def live() -> Response:
        """Say that this process answers."""
        return jsonify(status="live")

    @routes.get("/health/ready")
    def ready() -> tuple[Response, int]:
        """Return whether events are taken in, and the state of the journal, the broker and the queue."""
        _check_host()
        report = health()
        return jsonify(report.details), 200 if report.is_ready else 503

    @routes.get("/metrics")
    def metrics() -> Response:
        """Return the same for Prometheus."""
        _check_host()
        return Response(metrics_of(health), content_type=CONTENT_TYPE)

    return routes


def _check_host() -> None:
    """Refuse a foreign page: the platform, which knows no state of ours, calls the edge by any name."""
    if not is_own_host(request.headers.get("Host", "")):
        raise BadRequest


def _answered(accept: Callable[[dict[str, Any], Callable[[], bytes]], Answer]) -> Response:
    try:
        answer = accept(request.environ, request.get_data)
    except RequestEntityTooLarge:
        # Where Flask has to read the body itself it stops at the same limit.
        answer = TOO_LARGE
    if answer.status != 200:
        raise _refusal(answer)
    return _response(answer)


def _refusal(answer: Answer) -> HTTPException:
    """Return a refusal as Flask's error handlers know it; where there is none the answer stays as it is."""
    return default_exceptions[answer.status](answer.text, _response(answer))


def _response(answer: Answer) -> Response:
    parts = rendered(answer)
    return Response(parts.body, status=parts.status, headers=parts.headers)
