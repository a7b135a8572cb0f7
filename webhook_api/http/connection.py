"""Serve one keep-alive HTTP/1.1 connection on the loop, without ever blocking it.

A request is read until it is whole, bounded in bytes and in time, then answered at once: the webhook's own
route straight from here, every other by the Flask application.
"""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from webhook_api.http import response as http_answer
from webhook_api.http import wsgi as wsgi_bridge
from webhook_api.http.request import RequestReader
from webhook_api.ingest import NOT_FLUSHED

if TYPE_CHECKING:
    from collections.abc import Callable

    from webhook_api.app import Edge
    from webhook_api.http.request import Incoming
    from webhook_api.ingest import Answer

RECEIVE_BYTES: Final = 64 * 1024

LINGER_SECONDS: Final = 2.0
"""How long to read past a refusal, so that the sender sees the answer and not a reset."""


class HttpConnection:
    """The socket, its unsent bytes and its deadline.

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
        self._reader = RequestReader(edge.ingest, self)
        self._sock = sock
        self._peer = peer
        self._on_close = on_close
        self._fd = sock.fileno()
        self._unsent = b""
        self._is_busy = False
        self._is_lingering = False
        self._is_closed = False
        self._closes_after_answer = False
        self.deadline = time.monotonic() + edge.settings.request_seconds
        edge.loop.add_reader(self._fd, self._receive)

    def close(self) -> None:
        """Close the socket now."""
        if not self._is_closed:
            self._is_closed = True
            self._edge.loop.remove_reader(self._fd)
            self._edge.loop.remove_writer(self._fd)
            self._sock.close()
            self._on_close(self)

    def finish_soon(self) -> None:
        """Serve one more request at most: the answer to it will close the connection."""
        self._closes_after_answer = True

    # What the reader tells.

    def begin(self) -> None:
        """Give a request the time that it may take."""
        self._is_busy = True
        self.deadline = time.monotonic() + self._edge.settings.request_seconds

    def go_on(self) -> None:
        """Tell the sender to send the body."""
        self._send(http_answer.CONTINUE)

    def refuse(self, answer: Answer) -> None:
        """Answer before the request is whole, then read on only to throw away."""
        if not self._is_lingering:
            self._is_lingering = True
            self.deadline = time.monotonic() + LINGER_SECONDS
            self._send(http_answer.render(answer, keep_alive=False))

    def answer(self, incoming: Incoming, *, keep_alive: bool) -> None:
        """Answer a whole request."""
        if self._is_lingering or self._is_closed:
            return
        self._is_busy = False
        self.deadline = time.monotonic() + self._edge.settings.keepalive_seconds
        if self._closes_after_answer:
            keep_alive = False
        elif not keep_alive:
            self._closes_after_answer = True
        if incoming.is_webhook:
            answer = incoming.refusal or self._ingest.accept(incoming.body, incoming.headers)
            response = http_answer.render(answer, keep_alive=keep_alive)
        else:
            response = wsgi_bridge.respond(self._edge.flask, incoming, self._peer, keep_alive=keep_alive)
        self._send_durable(response, keep_alive=keep_alive)

    def _send_durable(self, data: bytes, *, keep_alive: bool) -> None:
        """Send now, or with OM_JOURNAL_FSYNC after the flush that this turn's requests share."""

        def send(is_durable: bool) -> None:  # noqa: FBT001  # a callback's one argument
            self._send(data if is_durable else http_answer.render(NOT_FLUSHED, keep_alive=keep_alive))

        if self._edge.settings.journal_fsync:
            self._edge.handover.after_sync(send)
        else:
            self._send(data)

    # The socket.

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
            self._reader.feed(data)

    def _send(self, data: bytes) -> None:
        """Send as much as the kernel takes, the rest when it takes more."""
        if self._is_closed:
            return
        had_unsent = bool(self._unsent)
        data = self._unsent + data
        try:
            sent = self._sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close()
            return
        self._unsent = data[sent:]
        if bool(self._unsent) != had_unsent:
            if self._unsent:
                self._edge.loop.add_writer(self._fd, self._send, b"")
            else:
                self._edge.loop.remove_writer(self._fd)
        if not self._unsent:
            self._after_last_byte()

    def _after_last_byte(self) -> None:
        if self._is_lingering:
            # No more will be sent; what still comes is thrown away until the deadline.
            with suppress(OSError):
                self._sock.shutdown(socket.SHUT_WR)
        elif self._closes_after_answer and not self._is_busy:
            self.close()
