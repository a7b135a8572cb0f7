"""Serve one keep-alive HTTP/1.1 connection on the loop, without ever blocking it.

A request is read until it is whole, bounded in bytes and in time, then the application is called with it. A
reader too slow for its answers stops being read.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from select import POLLIN, poll
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from webhook_api.answer import Answer
from webhook_api.http import response
from webhook_api.http.gateway import ANSWER_AFTER, template_of
from webhook_api.http.held_answer import HeldAnswer
from webhook_api.http.request import RequestReader

if TYPE_CHECKING:
    from collections.abc import Callable

    from webhook_api.http.gateway import Gateway
    from webhook_api.http.limits import Limits

    Wait = Callable[[Callable[[bool], None]], None]

RECEIVE_BYTES: Final = 64 * 1024
_BUFFER: Final = memoryview(bytearray(RECEIVE_BYTES))
"""Where every connection of this process receives: what came is read before the next may come."""

UNSENT_BYTES: Final = 64 * 1024
"""Answers that the other side has not taken, from which on nothing more is read from it."""

MAX_ANSWERS_PER_READ: Final = 64
"""One read can contain 2,600 requests of 25 bytes: half a second of CPU time for which all senders wait.

No proxy sends more than one before it has the answer, so the last of these answers closes the connection.
"""

LINGER_SECONDS: Final = 2.0
"""How long to read past the last answer, so that the sender sees it and not a reset."""

BUSY: Final = Answer(503, "too many connections", retry_after=1)


@dataclass(frozen=True, slots=True)
class Shared:
    """What the connections of a process share.

    Args:
        loop: The loop of this process.
        gateway: Who answers.
        limits: What they grant.
        is_inviting: Tells whether a sender that asks first shall send its body.
        refused: Is told what is answered before the application is asked.
        opening: Those that were accepted and are not open yet.
        connections: Those that are open.
        surplus: Those of both that are only there to be refused.
    """

    loop: asyncio.AbstractEventLoop
    gateway: Gateway
    limits: Limits
    is_inviting: Callable[[], bool]
    refused: Callable[[Answer], object]
    opening: set[HttpConnection] = field(default_factory=set)
    connections: set[HttpConnection] = field(default_factory=set)
    surplus: set[HttpConnection] = field(default_factory=set)


class HttpConnection(asyncio.BufferedProtocol):
    """One connection, its deadline and the answers that wait to leave.

    Args:
        shared: With the others.
        is_surplus: Whether its first request is refused because there are too many connections.
    """

    def __init__(self, shared: Shared, *, is_surplus: bool) -> None:
        shared.opening.add(self)
        if is_surplus:
            shared.surplus.add(self)
        self._shared = shared
        self._limits = shared.limits
        self._respond = shared.gateway.respond
        self._is_surplus = is_surplus
        self._transport: asyncio.Transport
        self._reader: RequestReader
        self._held: deque[HeldAnswer] = deque()
        self._asked: tuple[Wait, Answer] | None = None
        self._is_lingering = False
        self._is_at_end = False
        self._closes_after_answer = False
        self._is_timed = False
        self._answers_in_read = 0
        self.deadline = monotonic() + (LINGER_SECONDS if is_surplus else self._limits.request_seconds)

    @property
    def is_busy(self) -> bool:
        """Whether a request has come, wholly or in part, that is not answered yet."""
        return self._reader.is_in_request or bool(self._held) or self._has_unread

    def finish_soon(self) -> None:
        """Serve one more request at most: the answer to it will close the connection."""
        self._closes_after_answer = True

    def abort(self) -> None:
        """Close the connection now, whatever has not been sent."""
        self._transport.abort()

    # The loop's callbacks.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called when the socket has been accepted."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=UNSENT_BYTES)
        template = template_of(
            _address(transport.get_extra_info("sockname")), _address(transport.get_extra_info("peername"))
        )
        template[ANSWER_AFTER] = self._answer_after
        self._reader = RequestReader(template, self._limits.body_bytes, self)
        self._shared.opening.discard(self)
        self._shared.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # whatever the reason
        """Called once, when the socket has been closed."""
        self._reader.close()
        self._shared.connections.discard(self)
        self._shared.surplus.discard(self)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  # one buffer serves all
        """Return where to receive."""
        return _BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        """Called when bytes have come; after the last answer they are thrown away."""
        if self._is_lingering:
            return
        if self._is_surplus:
            self.refuse(BUSY)
            return
        self._answers_in_read = 0
        reader = self._reader
        reader.feed(_BUFFER[:nbytes])
        # Most requests come whole, and need no time of their own.
        if reader.is_in_request and not (self._is_timed or self._is_lingering):
            self._is_timed = True
            self.deadline = monotonic() + self._limits.request_seconds

    def eof_received(self) -> bool:
        """Called when the other side sends no more; keep the connection open for answers that wait."""
        self._is_at_end = True
        return bool(self._held)

    def pause_writing(self) -> None:
        """Called when the other side is too slow for its answers."""
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Called when it has caught up."""
        self._transport.resume_reading()

    # What the reader tells.

    def is_inviting(self) -> bool:
        """Tell whether a sender that asks first shall send its body."""
        return self._shared.is_inviting()

    def go_on(self) -> None:
        """Tell the sender to send the body."""
        if not self._is_lingering:
            self._transport.write(response.CONTINUE)

    def refuse(self, answer: Answer) -> None:
        """Answer before the request is whole, and read on only to throw away."""
        if not self._is_lingering:
            self._shared.refused(answer)
            self._leave(response.render(answer, keep_alive=False), keep_alive=False)

    def answer(self, environ: dict[str, Any], *, keep_alive: bool) -> None:
        """Answer a request by the application."""
        if self._is_lingering:
            return
        self._is_timed = False
        self.deadline = monotonic() + self._limits.keepalive_seconds
        self._answers_in_read += 1
        if self._closes_after_answer or self._answers_in_read == MAX_ANSWERS_PER_READ:
            keep_alive = False
        self._leave(self._respond(environ, keep_alive), keep_alive)

    # How answers leave.

    def _answer_after(self, wait: Wait, otherwise: Answer) -> None:
        """Note, while the application is called, what its answer has to wait for."""
        self._asked = (wait, otherwise)

    # What is called for each request is given by position: a call by name takes half as long again.

    def _leave(self, data: bytes, keep_alive: bool) -> None:  # noqa: FBT001  # as just said
        """Send an answer when it may leave and those before it have left."""
        asked, self._asked = self._asked, None
        if asked is None and not self._held:
            self._send(data, keep_alive)
            return
        held = HeldAnswer(self.release, data, asked[1] if asked else BUSY, keep_alive)
        self._held.append(held)
        self._is_lingering = not keep_alive
        if asked is None:
            held(True)
        else:
            asked[0](held)

    def release(self) -> None:
        """Send the answers that may leave and wait for none before them."""
        held = self._held
        while held and held[0].may_leave:
            first = held.popleft()
            self._send(first.data, first.keep_alive)
        if self._is_at_end and not held:
            self._transport.close()

    @property
    def _has_unread(self) -> bool:
        """Whether bytes wait in the kernel that the loop's next turn will read."""
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
            self._transport.write_eof()


def _address(name: object) -> tuple[str, str]:
    """Return host and port of a socket's name; a Unix socket has neither."""
    return (str(name[0]), str(name[1])) if isinstance(name, tuple) else ("localhost", "")
