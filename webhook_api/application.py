"""Define the Flask application of the edge, with a short way to the webhook's view.

Every request comes in by `wsgi_app`, so that middlewares see it. A webhook is handed to its view directly
while nothing hooked into Flask would be skipped by it, which saves three quarters of what a request costs
(docs/decisions/0013); otherwise, and for every other request, Flask dispatches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Flask, json
from werkzeug.exceptions import HTTPException

from messaging.log import logger
from webhook_api.answer import rendered
from webhook_api.hooks import Hooks
from webhook_api.ingest import ACCEPTED
from webhook_api.routes import FAILURE, WEBHOOK_PATH, blueprint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType
    from wsgiref.types import StartResponse, WSGIEnvironment

    from flask import Response
    from flask.typing import ResponseReturnValue

    from webhook_api.answer import Answer
    from webhook_api.health import Health
    from webhook_api.ingest import Ingest


class EdgeApplication(Flask):
    """The edge's routes.

    Args:
        ingest: Takes webhooks in.
        health: Takes a fresh report.
    """

    def __init__(self, ingest: Ingest, health: Callable[[], Health]) -> None:
        super().__init__("webhook_api", static_folder=None)
        self._ingest = ingest
        self.config["MAX_CONTENT_LENGTH"] = ingest.max_body_bytes
        self.register_blueprint(blueprint(ingest, health))
        self._hooks = Hooks(self, WEBHOOK_PATH)
        self._answer: Answer | None = None
        self._parts = rendered(ACCEPTED)

    def wsgi_app(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a webhook by the short way if it may take it, everything else by Flask's dispatch."""
        if (
            environ["PATH_INFO"] == WEBHOOK_PATH
            and environ["REQUEST_METHOD"] == "POST"
            # Elsewhere Flask has to find out where the body ends.
            and environ.get("wsgi.input_terminated")
            # A test client wants to look at the contexts afterwards.
            and "werkzeug.debug.preserve_context" not in environ
            and self._hooks.are_none()
        ):
            return self._receive(environ, start_response)
        return super().wsgi_app(environ, start_response)

    def _receive(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        try:
            answer = self._ingest.accept(environ, environ["wsgi.input"].read)
        except Exception as exc:  # noqa: BLE001  # Flask answers it, as it would have without the short way
            environ[FAILURE] = exc
            return super().wsgi_app(environ, start_response)
        # Nearly all are answered alike.
        if answer is not self._answer:
            self._answer, self._parts = answer, rendered(answer)
        parts = self._parts
        start_response(parts.status, list(parts.headers))
        return [parts.body]

    def make_response(self, rv: ResponseReturnValue) -> Response:
        """Make a response of what a view returned; of an HTTP error in JSON like all others."""
        if isinstance(rv, HTTPException) and rv.response is None:
            response = super().make_response(rv)
            response.data = json.dumps({"status": rv.name.lower()}) + "\n"
            response.content_type = "application/json"
            return response
        return super().make_response(rv)

    def log_exception(
        self,
        exc_info: tuple[type, BaseException, TracebackType] | tuple[None, None, None] | Any,
    ) -> None:
        """Log what a view or a hook raised, as one JSON object."""
        logger().error("request_failed", exc_info=exc_info)
