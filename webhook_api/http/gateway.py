"""Call the WSGI application for one whole request, as PEP 3333 has it."""

from __future__ import annotations

import sys
from time import time
from typing import TYPE_CHECKING, Any, Final

from messaging.log import logger
from webhook_api.answer import Answer
from webhook_api.http.response import render, response_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from wsgiref.types import WSGIApplication

ANSWER_AFTER: Final = "webhook_api.answer_after"
"""The environ's key of a function by which the application has its answer held back.

Called with `wait` and `otherwise`: the server calls `wait(callback)`, and lets the answer go when the
callback is called with True, or the answer `otherwise` in its place when it is called with False.
"""

REQUEST_ID: Final = "webhook_api.request_id"
"""The environ's key of the id under which the application has taken a request in; it is sent back."""

FAILED: Final = Answer(500, "internal server error")


def template_of(server: tuple[str, str], peer: tuple[str, str]) -> dict[str, Any]:
    """Return what the environs of all requests of a connection hold.

    Args:
        server: Our address and port.
        peer: The other side's.
    """
    return {
        "SCRIPT_NAME": "",
        "SERVER_NAME": server[0],
        "SERVER_PORT": server[1],
        "REMOTE_ADDR": peer[0],
        "REMOTE_PORT": peer[1],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        # The input ends where the body does, also where no Content-Length says so.
        "wsgi.input_terminated": True,
    }


class Gateway:
    """The application, called for one request after the other.

    Args:
        application: Called once for each request.
    """

    def __init__(self, application: WSGIApplication) -> None:
        self._application = application
        self._status = ""
        self._headers: list[tuple[str, str]] = []
        self._written: list[bytes] = []
        self._rendered: tuple[object, ...] = ()
        self._response = b""

    def respond(self, environ: dict[str, Any], keep_alive: bool) -> bytes:  # noqa: FBT001  # a keyword argument costs time at each request
        """Return the application's whole response; 500 when it fails.

        Args:
            environ: Of a request that was read to its end.
            keep_alive: What the response says of the connection.
        """
        self._status = ""
        if self._written:
            self._written = []
        try:
            body = self._joined(self._application(environ, self._start_response))
            if not self._status:
                raise RuntimeError("the application did not call start_response")  # noqa: TRY301  # answered below
            is_head = environ["REQUEST_METHOD"] == "HEAD"
            response = self._render(body, keep_alive, is_head)
            request_id = environ.get(REQUEST_ID)
            return _with_id(response, request_id) if request_id else response
        except Exception:  # noqa: BLE001  # the outermost loop: an application may raise anything
            logger().exception("request_failed")
            return render(FAILED, keep_alive=keep_alive)

    def _render(self, body: bytes, keep_alive: bool, is_head: bool) -> bytes:  # noqa: FBT001  # as compared
        """Return the response; most are, for a second, the same as the one before."""
        second, status, headers = int(time()), self._status, self._headers
        wanted = (second, status, headers, body, keep_alive, is_head)
        if wanted != self._rendered:
            self._response = response_of(status, tuple(headers), body, keep_alive=keep_alive, is_head=is_head)
            # The list is the application's, which may use it again.
            self._rendered = (second, status, list(headers), body, keep_alive, is_head)
        return self._response

    def _joined(self, chunks: Iterable[bytes]) -> bytes:
        """Return the whole body, what was written by the old `write` first."""
        if type(chunks) is list and not self._written:
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)
        try:
            body = b"".join(chunks)
        finally:
            close = getattr(chunks, "close", None)
            if close is not None:
                close()
        return b"".join((*self._written, body)) if self._written else body

    def _start_response(
        self, status: str, headers: list[tuple[str, str]], _exc_info: Any = None
    ) -> Callable[[bytes], object]:
        self._status = status
        self._headers = headers
        return self._written.append


def _with_id(response: bytes, request_id: str) -> bytes:
    """Put the request's id behind the status line."""
    at = response.find(b"\r\n")
    return b"%b\r\nX-Request-ID: %b%b" % (response[:at], request_id.encode("latin-1"), response[at:])
