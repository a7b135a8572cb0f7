"""Define the Flask application of the edge, with a short path to the webhook's view.

Every request enters through `wsgi_app`, so middlewares see it. A webhook goes directly to its view if that
skips nothing that is hooked into Flask, which saves three quarters of the CPU time of a request
(docs/decisions/0013). Otherwise, and for every other request, Flask dispatches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Flask, json
from werkzeug.exceptions import HTTPException

from messaging.log import logger
from webhook_api.answer import rendered
from webhook_api.hooks import first_hook, parts_of
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
        # Werkzeug would redirect `//` in a path, and with it a signed body, to http.
        self.url_map.merge_slashes = False
        self.register_blueprint(blueprint(ingest, health))
        self._as_made = parts_of(self, WEBHOOK_PATH)
        self._has_short_path: bool | None = None
        self._answer: Answer | None = None
        self._parts = rendered(ACCEPTED)

    def wsgi_app(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a webhook by the short path if it skips nothing, everything else by Flask's dispatch."""
        if (
            self._has_short_path
            and environ["PATH_INFO"] == WEBHOOK_PATH
            and environ["REQUEST_METHOD"] == "POST"
            # Under another server, Flask has to find out where the body ends.
            and environ.get("wsgi.input_terminated")
            # A test client looks at the contexts afterwards.
            and "werkzeug.debug.preserve_context" not in environ
        ):
            return self._receive(environ, start_response)
        if self._has_short_path is None:
            self._decide()
        return super().wsgi_app(environ, start_response)

    def _decide(self) -> None:
        """Decide for good, before the first request, whether webhooks take the short path.

        Flask dispatches that request whatever it is, and refuses hooks from then on.
        """
        hook = first_hook(self, WEBHOOK_PATH, self._as_made)
        self._has_short_path = hook is None
        if hook is not None:
            logger().info("webhooks_dispatched_by_flask", hook=hook)

    def _receive(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        try:
            answer = self._ingest.accept(environ, environ["wsgi.input"].read)
        except Exception as exc:  # noqa: BLE001  # Flask answers it, as it would have without the short path
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
