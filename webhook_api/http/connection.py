"""Serve one keep-alive HTTP/1.1 connection on the loop, without blocking the loop.

A request is read until it is complete, within limits on bytes and time. Then the application is called. While
a client is reading its responses too slowly, no more requests are read from it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from select import POLLIN, poll
from time import monotonic
from typing import Any, Final

from webhook_api.http.request import RequestReader
from webhook_api.http.response import CONTINUE, Response, encode_response
from webhook_api.http.wsgi import DeferredBody, DeferredResponse, Service, make_environ

RECEIVE_BYTES: Final = 64 * 1024
_BUFFER: Final = memoryview(bytearray(RECEIVE_BYTES))
"""The receive buffer. All connections of this process can share it, because each read is parsed at once."""

MAX_UNSENT_BYTES: Final = 64 * 1024
"""While more response bytes than this are waiting for a client, nothing is read from its connection."""

MAX_ANSWERS_PER_READ: Final = 64
"""Limit on the requests per read. One read of 2,600 requests of 25 bytes would delay all senders by 0.5 s.

A proxy waits for each response before it sends more, so a connection that reaches this limit is closed.
"""

LINGER_SECONDS: Final = 2.0
"""How long to keep reading after the last response, so that the sender receives it instead of a reset."""

BUSY: Final = Response(503, "too many connections", retry_after=1)


@dataclass(frozen=True, slots=True)
class Connections:
    """A process's connections and their shared objects. Requests on `surplus` connections are refused."""

    service: Service
    respond: Callable[[dict[str, Any], bool], tuple[bytes, DeferredBody | None]]
    opening: set[HttpConnection] = field(default_factory=set)
    open: set[HttpConnection] = field(default_factory=set)
    surplus: set[HttpConnection] = field(default_factory=set)


class HttpConnection(asyncio.BufferedProtocol):
    """Serves one connection until its deadline, and keeps each response until it may be sent."""

    def __init__(self, shared: Connections, *, is_surplus: bool) -> None:
        shared.opening.add(self)
        if is_surplus:
            shared.surplus.add(self)
        self._shared = shared
        self._service = shared.service
        self._limits = shared.service.limits
        self._respond = shared.respond
        self._is_surplus = is_surplus
        self._deferred: deque[DeferredResponse] = deque()
        self._is_lingering = self._is_at_end = self._closes_after_answer = self._is_timed = False
        self._answers_in_read = 0
        self.deadline = monotonic() + (LINGER_SECONDS if is_surplus else self._limits.request_seconds)

    @property
    def is_busy(self) -> bool:
        """Whether an unanswered request has arrived, at least in part."""
        return self._reader.is_in_request or bool(self._deferred) or self._has_unread

    @property
    def idle_seconds(self) -> float:
        """Seconds since the last response; 0 before the first, during a request, and while closing."""
        if not self._answers_in_read or self._is_lingering or self.is_busy:
            return 0.0
        return monotonic() - (self.deadline - self._limits.keepalive_seconds)

    def finish_soon(self) -> None:
        """Serve at most one more request; its response closes the connection."""
        self._closes_after_answer = True

    def abort(self) -> None:
        """Close the connection at once, and drop unsent data."""
        self._transport.abort()

    # The loop calls the following methods.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called when the socket has been accepted."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=MAX_UNSENT_BYTES)
        names = (transport.get_extra_info(name) for name in ("sockname", "peername"))
        template = make_environ(*map(_split_address, names))
        self._reader = RequestReader(
            template, self._limits.body_bytes, answer=self._answer, refuse=self._refuse, invite=self._invite
        )
        self._shared.opening.discard(self)
        self._shared.open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # whatever the reason
        """Called once, after the socket has been closed."""
        self._reader.close()
        self._shared.open.discard(self)
        self._shared.surplus.discard(self)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  # one buffer serves all
        """Return the buffer into which the loop receives bytes."""
        return _BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        """Called when bytes have arrived. Bytes that arrive after the last response are ignored."""
        if self._is_lingering:
            return
        if self._is_surplus:
            self._refuse(BUSY)
            return
        self._answers_in_read = 0
        reader = self._reader
        reader.feed(_BUFFER[:nbytes])
        # Most requests arrive in one piece, so set a deadline only for a request that is still incomplete.
        if reader.is_in_request and not (self._is_timed or self._is_lingering):
            self._is_timed = True
            self.deadline = monotonic() + self._limits.request_seconds

    def eof_received(self) -> bool:
        """Called when the client has stopped sending. Keep the connection open for deferred responses."""
        self._is_at_end = True
        return bool(self._deferred)

    def pause_writing(self) -> None:
        """Called when the client reads its responses too slowly. Stop reading from the client."""
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Called when the client has read enough of its responses. Read from the client again."""
        self._transport.resume_reading()

    # The RequestReader calls the following methods.

    def _invite(self) -> bool:
        if not self._service.is_inviting():
            return False
        if not self._is_lingering:
            self._transport.write(CONTINUE)
        return True

    def _refuse(self, response: Response) -> None:
        """Respond before the request is complete; the rest of the request is then read and ignored."""
        if not self._is_lingering:
            self._service.on_refused(response)
            self._leave(encode_response(response, keep_alive=False), False, None)

    def _answer(self, environ: dict[str, Any], keep_alive: bool) -> None:  # noqa: FBT001  # as `_leave`
        """Call the application with a complete request, and send its response."""
        if self._is_lingering:
            return
        self._is_timed = False
        self.deadline = monotonic() + self._limits.keepalive_seconds
        self._answers_in_read += 1
        is_last = self._closes_after_answer or self._answers_in_read == MAX_ANSWERS_PER_READ
        if is_last or self._service.is_yielding():
            keep_alive = False
        data, deferred = self._respond(environ, keep_alive)
        self._leave(data, keep_alive, deferred)

    # Functions called for each request take positional arguments: keyword arguments take 1.5 times as long.

    def _leave(self, data: bytes, keep_alive: bool, waits_for: DeferredBody | None) -> None:  # noqa: FBT001  # as explained above
        """Send a response as soon as its event is durable and all earlier responses have been sent."""
        if waits_for is None and not self._deferred:
            self._send(data, keep_alive)
            return
        otherwise = BUSY if waits_for is None else waits_for.otherwise
        deferred = DeferredResponse(self._release, data, keep_alive, otherwise)
        self._deferred.append(deferred)
        self._is_lingering = not keep_alive
        if waits_for is None:
            deferred(True)
        else:
            waits_for.on_durable(deferred)

    def _release(self) -> None:
        """Send the deferred responses in order, up to the first that is not ready."""
        deferred = self._deferred
        while deferred and deferred[0].is_ready:
            first = deferred.popleft()
            self._send(first.data, first.keep_alive)
        if self._is_at_end and not deferred:
            self._transport.close()

    @property
    def _has_unread(self) -> bool:
        """Whether the kernel has received bytes that the next turn of the loop will read."""
        if not self._transport.is_reading():
            return False
        waiting = poll()
        waiting.register(self._transport.get_extra_info("socket"), POLLIN)
        return bool(waiting.poll(0))

    def _send(self, data: bytes, keep_alive: bool) -> None:  # noqa: FBT001  # as `_leave`
        if self._transport.is_closing():
            return
        self._transport.write(data)
        if not keep_alive:
            self._is_lingering = True
            self.deadline = monotonic() + LINGER_SECONDS
            # The client might be gone. The resulting error must not stop the responses to other clients.
            with suppress(OSError):
                self._transport.write_eof()


def _split_address(name: object) -> tuple[str, str]:
    """Return the host and port of a socket's address; for a Unix socket, localhost and no port."""
    return (str(name[0]), str(name[1])) if isinstance(name, tuple) else ("localhost", "")
