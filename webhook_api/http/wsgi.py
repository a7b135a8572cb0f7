"""Call a WSGI application (PEP 3333) for each complete request, and defer its response if necessary."""

import asyncio
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from time import time
from typing import Any, Final
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from messaging.log import logger
from webhook_api.http.response import FAILED, Response, encode, encode_response

REQUEST_ID: Final = "webhook_api.request_id"
"""Environ key for the request id of an accepted event; the response repeats this id."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits that one process imposes on senders."""

    body_bytes: int
    connections: int
    request_seconds: float = 10.0
    """Time limit from a request's first byte to its last; nginx buffers requests and so never exceeds it."""
    keepalive_seconds: float = 75.0
    """Time limit for an idle connection. It is above nginx's 60 s, so that nginx closes connections first."""


@dataclass(frozen=True, slots=True)
class Service:
    """A WSGI application that runs on the worker's loop; it is created after the fork.

    Args:
        is_inviting: Whether a sender of `Expect: 100-continue` should send its body. If not, the application
            is called without the body.
        is_yielding: Whether senders should use another process. If so, each response closes its connection,
            idle connections are closed, and new connections are left to the other processes.
        leave: Called when the port has been released; other processes now accept all new connections.
        find_failure: Called before a response that is not deferred; makes the request's event durable. If
            that fails, it returns the response to send instead.
        on_refused: Called with each of the server's own responses if the application fails or is not called.
        start: Called before the loop runs.
        stop: Called at the end, with a function that it must call when everything is stopped.
    """

    loop: asyncio.AbstractEventLoop
    application: WSGIApplication
    limits: Limits
    is_inviting: Callable[[], bool]
    is_yielding: Callable[[], bool]
    leave: Callable[[], None]
    find_failure: Callable[[], Response | None]
    on_refused: Callable[[Response], object]
    start: Callable[[], None]
    stop: Callable[[Callable[[], None]], None]

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Call the application. This method exists because gunicorn requires `wsgi_app` to be callable."""
        return self.application(environ, start_response)


class NotDurableError(Exception):
    """Send `response` instead, because the disk failed to store the request's event."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.text)
        self.response = response


@dataclass(eq=False, slots=True)
class DeferredBody:
    """The body of a response that must not be sent before the request's event is durable.

    Our own server holds the response back, so that all requests of one turn of the loop share one write. If
    another reader (middleware, another server, a test client) reads it, the event becomes durable at once.

    *on_durable* takes a callback, and calls it with True once the event is durable, or with False if that
    fails. *flush_now* makes the event durable; if it returns False, *otherwise* is sent instead.
    """

    chunks: Iterable[bytes]
    on_durable: Callable[[Callable[[bool], None]], None]
    flush_now: Callable[[], bool]
    otherwise: Response

    def __iter__(self) -> Iterator[bytes]:
        if not self.flush_now():
            raise NotDurableError(self.otherwise)
        yield from self.chunks

    def close(self) -> None:
        """Make the event durable. A reader calls this when it is done, even if it sent a different body."""
        is_durable = self.flush_now()
        if (close := getattr(self.chunks, "close", None)) is not None:
            close()
        if not is_durable:
            raise NotDurableError(self.otherwise)


@dataclass(eq=False, slots=True)
class DeferredResponse:
    """A response that waits until its event is durable (`is_ready`) and earlier responses have been sent."""

    release: Callable[[], None]
    data: bytes
    keep_alive: bool
    otherwise: Response
    is_ready: bool = False

    def __call__(self, is_durable: bool) -> None:  # noqa: FBT001  # a callback's only argument
        """Release the response; if the event is not durable, send *otherwise* in its place."""
        if not is_durable:
            self.data = encode_response(self.otherwise, keep_alive=self.keep_alive)
        self.is_ready = True
        self.release()


class WsgiAdapter:
    """Calls the service's application for one request after another.

    `find_failure` is called before a response that is not deferred, in case middleware dropped the body that
    would have deferred it.
    """

    def __init__(self, service: Service) -> None:
        self._application = service.application
        self._find_failure = service.find_failure
        self._on_refused = service.on_refused
        self._status = ""
        self._headers: list[tuple[str, str]] = []
        self._written: list[bytes] = []
        self._encoded: tuple[object, ...] = ()
        self._response = b""

    def respond(self, environ: dict[str, Any], keep_alive: bool) -> tuple[bytes, DeferredBody | None]:  # noqa: FBT001  # a keyword argument costs time on every request
        """Return the application's response as bytes (500 if it fails), and its DeferredBody or None."""
        self._status = ""
        if self._written:
            self._written = []
        try:
            chunks = self._application(environ, self._start_response)
            deferred = chunks if type(chunks) is DeferredBody else None
            body = self._join(chunks if deferred is None else deferred.chunks)
            if not self._status:
                raise RuntimeError("the application did not call start_response")  # noqa: TRY301  # answered below
            if deferred is None and (failure := self._find_failure()) is not None:
                raise NotDurableError(failure)  # noqa: TRY301  # answered below
            response = self._encode(body, keep_alive, environ["REQUEST_METHOD"] == "HEAD")
            request_id = environ.get(REQUEST_ID)
            return _add_id(response, request_id) if request_id else response, deferred
        except NotDurableError as exc:
            return encode_response(exc.response, keep_alive=keep_alive), None
        except Exception:  # noqa: BLE001  # the outermost loop: an application can raise anything
            logger().exception("request_failed")
            self._on_refused(FAILED)
            return encode_response(FAILED, keep_alive=keep_alive), None

    def _encode(self, body: bytes, keep_alive: bool, is_head: bool) -> bytes:  # noqa: FBT001  # as in `respond`
        """Return the response's bytes. Most responses equal the previous one, so its bytes are reused."""
        second, status, headers = int(time()), self._status, self._headers
        wanted = (second, status, headers, body, keep_alive, is_head)
        if wanted != self._encoded:
            self._response = encode(status, tuple(headers), body, keep_alive=keep_alive, is_head=is_head)
            # Copy the headers, because the application might change its list later.
            self._encoded = (second, status, list(headers), body, keep_alive, is_head)
        return self._response

    def _join(self, chunks: Iterable[bytes]) -> bytes:
        """Return the whole body; data written with PEP 3333's old `write` callable comes first."""
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


def make_environ(server: tuple[str, str], peer: tuple[str, str]) -> dict[str, Any]:
    """Return the environ entries that all requests of a connection share."""
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
        # Reading the input stops at the end of the body, even without a Content-Length.
        "wsgi.input_terminated": True,
    }


def _add_id(response: bytes, request_id: str) -> bytes:
    """Return the response with the header X-Request-ID inserted after the status line."""
    at = response.find(b"\r\n")
    return b"%b\r\nX-Request-ID: %b%b" % (response[:at], request_id.encode("latin-1"), response[at:])
