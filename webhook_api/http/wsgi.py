"""Call the WSGI application for a complete request (PEP 3333), and defer its response if necessary."""

import asyncio
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from time import time
from typing import Any, Final
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from messaging.log import logger
from webhook_api.http.response import Response, encode, encode_response

REQUEST_ID: Final = "webhook_api.request_id"
"""Environ key of the id under which the application accepted a request; the response repeats it."""

FAILED: Final = Response(500, "internal server error")


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one process on its senders."""

    body_bytes: int
    connections: int
    request_seconds: float = 10.0
    """Limit from first to last byte of a request, for senders without nginx, which buffers whole requests."""
    keepalive_seconds: float = 75.0
    """Limit of an idle connection; above nginx's 60 s, so that nginx closes the connection first."""


@dataclass(frozen=True, slots=True)
class Service:
    """A WSGI application that runs on the worker's loop; it is created after the fork.

    Args:
        is_inviting: Whether a sender of `Expect: 100-continue` should send its body. If not, the application
            is called without it.
        is_yielding: Whether senders should use another process: each response closes its connection, idle
            connections are closed, and new ones are left to the other processes.
        leave: Called once the port is released: other processes must not leave new connections to it.
        find_failure: Makes the event of the request just answered durable, if its response is not deferred;
            returns the response to send instead if it is not durable.
        on_refused: Called with each response that is sent without calling the application.
        start: Called before the loop runs.
        stop: Called at the end with a function to call when everything is stopped.
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
        """Call the application: gunicorn demands that `wsgi_app` is callable."""
        return self.application(environ, start_response)


class NotDurableError(Exception):
    """Send `response` instead: the disk failed to store the request's event."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.text)
        self.response = response


@dataclass(eq=False, slots=True)
class DeferredBody:
    """The body of a response that must not be sent before the request's event is durable.

    It lets our server hold the response back, so that all requests of one turn of the loop share one write.
    For any other reader (middleware, another server, a test client) iterating makes the event durable at
    once.

    *on_durable* takes a callback and calls it with True once the event is durable, or with False if that
    fails. *flush_now* makes the event durable and returns whether it is. If it is not, *otherwise* is sent.
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
        """Called by a reader that is done, even if it did not iterate because it sends another body."""
        is_durable = self.flush_now()
        if (close := getattr(self.chunks, "close", None)) is not None:
            close()
        if not is_durable:
            raise NotDurableError(self.otherwise)


@dataclass(eq=False, slots=True)
class DeferredResponse:
    """A response that waits until its event is durable, or until earlier responses have been sent.

    `is_ready`: whether it may be sent.
    """

    release: Callable[[], None]
    data: bytes
    keep_alive: bool
    otherwise: Response
    is_ready: bool = False

    def __call__(self, is_durable: bool) -> None:  # noqa: FBT001  # a callback's one argument
        """Release the response, or *otherwise* if the event is not durable."""
        if not is_durable:
            self.data = encode_response(self.otherwise, keep_alive=self.keep_alive)
        self.is_ready = True
        self.release()


class WsgiAdapter:
    """The application, called for one request after the other.

    *find_failure* is called before a response that is not deferred, in case middleware dropped the body that
    would have deferred it; it returns the response to send instead if the event is not durable.
    """

    def __init__(self, application: WSGIApplication, find_failure: Callable[[], Response | None]) -> None:
        self._application = application
        self._find_failure = find_failure
        self._status = ""
        self._headers: list[tuple[str, str]] = []
        self._written: list[bytes] = []
        self._encoded: tuple[object, ...] = ()
        self._response = b""

    def respond(self, environ: dict[str, Any], keep_alive: bool) -> tuple[bytes, DeferredBody | None]:  # noqa: FBT001  # a keyword argument costs time at each request
        """Return the application's whole response, or 500 if it fails, and what defers it, if anything."""
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
        except Exception:  # noqa: BLE001  # the outermost loop: an application may raise anything
            logger().exception("request_failed")
            return encode_response(FAILED, keep_alive=keep_alive), None

    def _encode(self, body: bytes, keep_alive: bool, is_head: bool) -> bytes:  # noqa: FBT001  # as compared
        """Return the response's bytes; most are equal to the previous ones of the same second and reused."""
        second, status, headers = int(time()), self._status, self._headers
        wanted = (second, status, headers, body, keep_alive, is_head)
        if wanted != self._encoded:
            self._response = encode(status, tuple(headers), body, keep_alive=keep_alive, is_head=is_head)
            # Copy the headers, because the application may reuse its list.
            self._encoded = (second, status, list(headers), body, keep_alive, is_head)
        return self._response

    def _join(self, chunks: Iterable[bytes]) -> bytes:
        """Return the whole body; data that the application wrote by PEP 3333's old `write` comes first."""
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
    """Return what the environs of all requests of a connection have in common."""
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
        # The input ends where the body ends, even without a Content-Length.
        "wsgi.input_terminated": True,
    }


def _add_id(response: bytes, request_id: str) -> bytes:
    """Insert the request's id after the status line."""
    at = response.find(b"\r\n")
    return b"%b\r\nX-Request-ID: %b%b" % (response[:at], request_id.encode("latin-1"), response[at:])
