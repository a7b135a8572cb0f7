"""Define the edge's Flask application: its routes, and a short path to the webhook's view.

Every request enters through `wsgi_app`, so middleware sees it. If nothing is hooked into Flask, a webhook
goes directly to its view, which saves three quarters of a request's CPU time (docs/decisions/0013). Flask
dispatches all other requests.
"""

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Final
from wsgiref.types import StartResponse, WSGIEnvironment

import flask
from flask import Blueprint, Flask, json, jsonify, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import BadRequest, HTTPException, RequestEntityTooLarge, default_exceptions

from messaging.host_header import is_own_host
from messaging.log import logger
from webhook_api.extensions import dispatch_parts, find_hook
from webhook_api.health import Health
from webhook_api.http import REQUEST_ID, DeferredBody, Response, render
from webhook_api.ingest import ACCEPTED, NOT_DURABLE, TOO_LARGE, Ingest
from webhook_api.metrics import CONTENT_TYPE, render_metrics
from webhook_api.relay import Relay

WEBHOOK_PATH: Final = "/webhooks/genesys/openmessaging"
BUS_PATH: Final = "/webhooks/genesys/events"
"""An API destination of Amazon EventBridge posts the platform's detail events here."""

FAILURE: Final = "webhook_api.failure"
"""Environ key of the exception that the short path raised, so that Flask can handle it."""


class EdgeApplication(Flask):
    """The edge's routes."""

    def __init__(self, ingest: Ingest, relay: Relay, health: Callable[[], Health]) -> None:
        super().__init__("webhook_api", static_folder=None)
        self._ingest = ingest
        self._relay = relay
        self.config["MAX_CONTENT_LENGTH"] = ingest.max_body_bytes
        # Werkzeug would redirect `//` in a path, and with it a signed body, to http.
        self.url_map.merge_slashes = False
        self.register_blueprint(_make_blueprint(ingest, health))
        self._as_made = dispatch_parts(self, WEBHOOK_PATH)
        self._can_skip_dispatch: bool | None = None
        self._accepted = render(ACCEPTED)
        self._accepted_body = self._defer([self._accepted.body])

    def wsgi_app(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a webhook by the short path if that skips no hook, and all others by Flask's dispatch.

        The response to an accepted event is deferred until the event is durable, even if hooks changed it.
        """
        if (
            self._can_skip_dispatch
            and environ["PATH_INFO"] == WEBHOOK_PATH
            and environ["REQUEST_METHOD"] == "POST"
            # If another server does not set this, Flask has to find the end of the body.
            and environ.get("wsgi.input_terminated")
            # A test client looks at the contexts afterwards.
            and "werkzeug.debug.preserve_context" not in environ
        ):
            return self._receive(environ, start_response)
        if self._can_skip_dispatch is None:
            # Flask dispatches the first request, and accepts no further hooks after it.
            hook = find_hook(self, WEBHOOK_PATH, self._as_made)
            self._can_skip_dispatch = hook is None
            if hook is not None:
                logger().info("webhooks_dispatched_by_flask", hook=hook)
        return self._dispatch(environ, start_response)

    def _dispatch(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        chunks = super().wsgi_app(environ, start_response)
        return self._defer(chunks) if REQUEST_ID in environ else chunks

    def _defer(self, chunks: Iterable[bytes]) -> DeferredBody:
        return DeferredBody(chunks, self._relay.on_durable, self._relay.flush_now, NOT_DURABLE)

    def _receive(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        try:
            response = self._ingest.accept(environ, environ["wsgi.input"].read)
        except Exception as exc:  # noqa: BLE001  # Flask answers it, as it would have without the short path
            environ[FAILURE] = exc
            return self._dispatch(environ, start_response)
        if response is ACCEPTED:
            # This is the usual case; all accepted webhooks share one response body.
            start_response(self._accepted.status, list(self._accepted.headers))
            return self._accepted_body
        status, headers, body = render(response)
        start_response(status, list(headers))
        return [body]

    def make_response(self, rv: ResponseReturnValue) -> flask.Response:
        """Make a response from a view's result; an HTTP error gets a JSON body like every other response."""
        if isinstance(rv, HTTPException) and rv.response is None:
            response = super().make_response(rv)
            response.data = json.dumps({"status": rv.name.lower()}) + "\n"
            response.content_type = "application/json"
            return response
        return super().make_response(rv)

    def log_exception(
        self, exc_info: tuple[type, BaseException, TracebackType] | tuple[None, None, None] | Any
    ) -> None:
        """Log what a view or a hook raised, as one JSON object."""
        logger().error("request_failed", exc_info=exc_info)


def _make_blueprint(ingest: Ingest, health: Callable[[], Health]) -> Blueprint:
    routes = Blueprint("edge", __name__)

    @routes.post(WEBHOOK_PATH)
    def receive_webhook() -> flask.Response:
        """Accept one event."""
        failure = request.environ.get(FAILURE)
        if failure is not None:
            raise failure
        return _accept(ingest.accept)

    @routes.post(BUS_PATH)
    def receive_detail_event() -> flask.Response:
        """Accept one event of the event bus."""
        return _accept(ingest.accept_from_bus)

    @routes.get("/health/live")
    def live() -> flask.Response:
        """Return that this process answers."""
        return jsonify(status="live")

    @routes.get("/health/ready")
    def ready() -> tuple[flask.Response, int]:
        """Return whether events are accepted, and the state of the journal, the broker and the queue."""
        _check_host()
        report = health()
        return jsonify(report.details), 200 if report.is_ready else 503

    @routes.get("/metrics")
    def metrics() -> flask.Response:
        """Return the health report as Prometheus metrics."""
        _check_host()
        return flask.Response(render_metrics(health), content_type=CONTENT_TYPE)

    return routes


def _check_host() -> None:
    """Refuse a foreign Host header, so that no web page can read our state; the webhook routes accept any."""
    if not is_own_host(request.headers.get("Host", "")):
        raise BadRequest


def _accept(accept: Callable[[dict[str, Any], Callable[[], bytes]], Response]) -> flask.Response:
    try:
        response = accept(request.environ, request.get_data)
    except RequestEntityTooLarge:
        # Flask enforces the same limit when it reads the body itself.
        response = TOO_LARGE
    status, headers, body = render(response)
    rendered = flask.Response(body, status=status, headers=headers)
    if response.status != 200:
        # Raise an exception, so that Flask's error handlers see it. Without a handler, this response is sent.
        raise default_exceptions[response.status](response.text, rendered)
    return rendered
