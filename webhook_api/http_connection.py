"""Serve one keep-alive HTTP/1.1 connection on the loop, without ever blocking it.

A request is read until it is whole, bounded in bytes and in time, then answered at once: the webhook's own
route straight from here, every other by the Flask application.
"""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import httptools

from messaging.log import logger
from messaging.loop import READ, WRITE
from webhook_api import http_answer, wsgi_bridge
from webhook_api.ingest import TOO_LARGE, Answer
from webhook_api.routes import WEBHOOK_PATH

if TYPE_CHECKING:
    from collections.abc import Callable

    from webhook_api.app import Edge

RECEIVE_BYTES: Final = 64 * 1024
HEAD_BYTES: Final = 32 * 1024
"""Upper bound of a request's head; the platform's own is below 1 KiB."""

LINGER_SECONDS: Final = 2.0
"""How long to read past a refusal, so that the sender sees the answer and not a reset."""

_PATH: Final = WEBHOOK_PATH.encode()


class _Incoming:
    """A request that is being read."""

    __slots__ = ("body", "body_bytes", "headers", "is_webhook", "refusal", "url")

    def __init__(self) -> None:
        self.url = b""
        self.headers: dict[bytes, bytes] = {}
        self.body: list[bytes] = []
        self.body_bytes = 0
        self.is_webhook = False
        self.refusal: Answer | None = None

    def whole_body(self) -> bytes:
        return self.body[0] if len(self.body) == 1 else b"".join(self.body)


class HttpConnection:
    """The parser's callbacks and the socket's two buffers.

    Args:
        edge: What the process is made of.
        sock: Non-blocking, accepted.
        peer: The address of the other side.
        on_close: Told once, when the socket has been closed.
    """

    def __init__(
        self, edge: Edge, sock: socket.socket, peer: str, on_close: Callable[[HttpConnection], None]
    ) -> None:
        self._edge = edge
        self._ingest = edge.ingest
        self._sock = sock
        self._peer = peer
        self._on_close = on_close
        self._fd = sock.fileno()
        self._parser = httptools.HttpRequestParser(self)
        self._out = b""
        self._is_lingering = False
        self._closes_after_answer = False
        self._is_closed = False
        self._is_busy = False
        self.deadline = time.monotonic() + edge.settings.request_seconds
        self._incoming = _Incoming()
        # Bytes of the head being read; -1 once it is whole.
        self._head_bytes = 0
        edge.loop.add_handler(self._fd, self._on_event, READ)

    def close(self) -> None:
        """Close the socket now."""
        if not self._is_closed:
            self._is_closed = True
            self._edge.loop.remove_handler(self._fd)
            self._sock.close()
            self._on_close(self)

    def finish_soon(self) -> None:
        """Serve one more request at most: the answer to it will close the connection."""
        self._closes_after_answer = True

    # The parser's callbacks, in the order in which they come.

    def on_message_begin(self) -> None:
        """Start a request."""
        self._incoming = _Incoming()
        self._is_busy = True
        self.deadline = time.monotonic() + self._edge.settings.request_seconds

    def on_url(self, url: bytes) -> None:
        """Take the request target."""
        self._incoming.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header; of a repeated one the first counts, so that none can be overridden."""
        self._incoming.headers.setdefault(name.lower(), value)

    def on_headers_complete(self) -> None:
        """Decide what can be decided before the body."""
        self._head_bytes = -1
        self._incoming.is_webhook = (
            self._parser.get_method() == b"POST" and self._incoming.url.partition(b"?")[0] == _PATH
        )
        if self._incoming.is_webhook:
            self._incoming.refusal = self._ingest.admit()
        length = self._incoming.headers.get(b"content-length", b"0")
        if len(length) > 15 or int(length) > self._ingest.max_body_bytes:
            self._refuse(TOO_LARGE)
        elif self._incoming.headers.get(b"expect", b"").lower() == b"100-continue":
            if self._incoming.refusal is not None:
                self._refuse(self._incoming.refusal)
            else:
                self._send(http_answer.CONTINUE)

    def on_body(self, data: bytes) -> None:
        """Take a part of the body, unless it has been refused already."""
        incoming = self._incoming
        incoming.body_bytes += len(data)
        if incoming.body_bytes > self._ingest.max_body_bytes:
            self._refuse(TOO_LARGE)
        elif incoming.refusal is None:
            incoming.body.append(data)

    def on_message_complete(self) -> None:
        """Answer."""
        if self._is_lingering or self._is_closed:
            return
        self._is_busy = False
        self._head_bytes = 0
        self.deadline = time.monotonic() + self._edge.settings.keepalive_seconds
        keep_alive = self._parser.should_keep_alive() and not self._closes_after_answer
        if not keep_alive:
            self._closes_after_answer = True
        body = self._incoming.whole_body()
        if self._incoming.is_webhook:
            self._answer_webhook(body, keep_alive=keep_alive)
        else:
            self._answer_by_flask(body, keep_alive=keep_alive)

    # The answers.

    def _answer_webhook(self, body: bytes, *, keep_alive: bool) -> None:
        answer = self._incoming.refusal or self._ingest.accept(body, self._incoming.headers)
        self._send_durable(http_answer.render(answer, keep_alive=keep_alive))

    def _answer_by_flask(self, body: bytes, *, keep_alive: bool) -> None:
        request = wsgi_bridge.Request(
            method=self._parser.get_method().decode("latin-1"),
            target=self._incoming.url,
            version=self._parser.get_http_version(),
            headers=self._incoming.headers,
            body=body,
            peer=self._peer,
        )
        self._send_durable(wsgi_bridge.respond(self._edge.flask, request, keep_alive=keep_alive))

    def _send_durable(self, data: bytes) -> None:
        """Send now, or with OM_JOURNAL_FSYNC after the flush that this turn's requests share."""
        if self._edge.settings.journal_fsync:
            self._edge.handover.after_sync(lambda: self._send(data))
        else:
            self._send(data)

    def _refuse(self, answer: Answer) -> None:
        """Answer before the request is whole, then read on only to throw away."""
        if not self._is_lingering:
            self._incoming.refusal = answer
            self._incoming.body.clear()
            self._is_lingering = True
            self.deadline = time.monotonic() + LINGER_SECONDS
            self._send(http_answer.render(answer, keep_alive=False))

    # The socket.

    def _on_event(self, _fd: int, events: int) -> None:
        if events & WRITE and self._out:
            self._send(b"")
        if events & ~WRITE and not self._is_closed:
            self._receive()

    def _receive(self) -> None:
        try:
            data = self._sock.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
        elif not self._is_lingering:
            self._parse(data)

    def _parse(self, data: bytes) -> None:
        if self._head_bytes >= 0:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._closes_after_answer = True
        except httptools.HttpParserCallbackError:
            # A bug of ours must not look like the sender's: only 5xx is sent again.
            logger().exception("request_failed")
            self._refuse(Answer(500, "internal server error"))
        except httptools.HttpParserError:
            self._refuse(Answer(400, "malformed request"))
        else:
            if self._head_bytes > HEAD_BYTES:
                self._refuse(Answer(431, "request head too large"))

    def _send(self, data: bytes) -> None:
        """Send as much as the kernel takes, the rest when it takes more."""
        if self._is_closed:
            return
        had_rest = bool(self._out)
        data = self._out + data
        try:
            sent = self._sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close()
            return
        self._out = data[sent:]
        if bool(self._out) != had_rest:
            self._edge.loop.update_handler(self._fd, READ | WRITE if self._out else READ)
        if not self._out and self._is_lingering:
            self._shutdown()
        elif not self._out and self._closes_after_answer and not self._is_busy:
            self.close()

    def _shutdown(self) -> None:
        """Say that no more will be sent; what still comes is read and thrown away until the deadline."""
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)
