"""Define the edge's Flask application: its routes, and a short path for webhooks.

Every request enters through `wsgi_app`, so middleware sees it. If no hooks are installed in Flask, a webhook
skips Flask's dispatch, which saves three quarters of a request's CPU time (docs/decisions/0013).
"""

from collections.abc import Callable, Iterable
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
from webhook_api.http import FAILED, REQUEST_ID, DeferredBody, Response, render
from webhook_api.ingest import ACCEPTED, NOT_DURABLE, TOO_LARGE, Ingest
from webhook_api.metrics import CONTENT_TYPE, render_metrics
from webhook_api.relay import Relay

WEBHOOK_PATH: Final = "/webhooks/genesys/openmessaging"
BUS_PATH: Final = "/webhooks/genesys/events"
"""The path to which an API destination of Amazon EventBridge posts the platform's detail events."""

FAILURE: Final = "webhook_api.failure"
"""Environ key for an exception raised on the short path; the view reraises it so that Flask handles it."""


class EdgeApplication(Flask):
    """The edge's WSGI application, with all routes."""

    def __init__(self, ingest: Ingest, relay: Relay, health: Callable[[], Health]) -> None:
        super().__init__("webhook_api", static_folder=None)
        self._ingest = ingest
        self._relay = relay
        self.config["MAX_CONTENT_LENGTH"] = ingest.max_body_bytes
        # By default, Werkzeug redirects a path with `//` to http, so the signed body would be sent over http.
        self.url_map.merge_slashes = False
        self.register_blueprint(_make_blueprint(ingest, health))
        self._as_made = dispatch_parts(self, WEBHOOK_PATH)
        self._can_skip_dispatch: bool | None = None
        self._accepted = render(ACCEPTED)
        self._accepted_body = self._defer([self._accepted.body])

    def wsgi_app(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a webhook on the short path if no hook is installed; let Flask dispatch all other requests.

        The response to an accepted event is deferred until the event is durable, even if hooks changed it.
        """
        if (
            self._can_skip_dispatch
            and environ["PATH_INFO"] == WEBHOOK_PATH
            and environ["REQUEST_METHOD"] == "POST"
            # If the server does not set this key, only Flask can find the end of the body.
            and environ.get("wsgi.input_terminated")
            # A test client sets this key in order to inspect Flask's contexts after the request.
            and "werkzeug.debug.preserve_context" not in environ
        ):
            return self._receive(environ, start_response)
        if self._can_skip_dispatch is None:
            # This is the first request. Flask dispatches it, and then accepts no further hooks.
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
        except Exception as exc:  # noqa: BLE001  # Flask handles it, as it would without the short path
            environ[FAILURE] = exc
            return self._dispatch(environ, start_response)
        if response is ACCEPTED:
            # This is the usual case. All accepted webhooks share one response body.
            start_response(self._accepted.status, list(self._accepted.headers))
            return self._accepted_body
        status, headers, body = render(response)
        start_response(status, list(headers))
        return [body]

    def make_response(self, rv: ResponseReturnValue) -> flask.Response:
        """Make a response from a view's result; an HTTP error gets a JSON body, like all our responses."""
        response = super().make_response(rv)
        if isinstance(rv, HTTPException) and rv.response is None:
            response.data = json.dumps({"status": rv.name.lower()}) + "\n"
            response.content_type = "application/json"
        return response

    def log_exception(self, exc_info: Any) -> None:
        """Log the exception that a view or a hook raised, as one JSON object; count a webhook's 500."""
        logger().error("request_failed", exc_info=exc_info)
        if request.path in {WEBHOOK_PATH, BUS_PATH}:
            self._ingest.refuse(FAILED, request.environ)


def _make_blueprint(ingest: Ingest, health: Callable[[], Health]) -> Blueprint:
    routes = Blueprint("edge", __name__)

    @routes.post(WEBHOOK_PATH)
    def receive_webhook() -> flask.Response:
        failure = request.environ.get(FAILURE)
        if failure is not None:
            raise failure
        return _accept(ingest.accept)

    @routes.post(BUS_PATH)
    def receive_detail_event() -> flask.Response:
        return _accept(ingest.accept_from_bus)

    @routes.get("/health/live")
    def live() -> flask.Response:
        return jsonify(status="live")

    @routes.get("/health/ready")
    def ready() -> tuple[flask.Response, int]:
        """Report whether events are accepted, and the state of the journal, the broker and the queue."""
        _check_host()
        report = health()
        return jsonify(report.details), 200 if report.is_ready else 503

    @routes.get("/metrics")
    def metrics() -> flask.Response:
        _check_host()
        return flask.Response(render_metrics(health), content_type=CONTENT_TYPE)

    return routes


def _check_host() -> None:
    """Refuse a foreign Host header, so that no web page can read our state. Webhooks may have any host."""
    if not is_own_host(request.headers.get("Host", "")):
        raise BadRequest


def _accept(accept: Callable[[dict[str, Any], Callable[[], bytes]], Response]) -> flask.Response:
    try:
        response = accept(request.environ, request.get_data)
    except RequestEntityTooLarge:
        # Flask raises this error when it reads a body that exceeds the same limit.
        response = TOO_LARGE
    status, headers, body = render(response)
    rendered = flask.Response(body, status=status, headers=headers)
    if response.status != 200:
        # Raise an exception so that Flask calls its error handlers. If it has none, this response is sent.
        raise default_exceptions[response.status](response.text, rendered)
    return rendered
