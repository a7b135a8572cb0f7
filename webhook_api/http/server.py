"""Accept connections, within limits, and spread them over the host's edge processes."""

import asyncio
import errno
import resource
import socket
from collections.abc import Iterable
from dataclasses import replace
from time import monotonic
from typing import Any, Final

from messaging.log import logger
from webhook_api.http.connection import Connections, HttpConnection
from webhook_api.http.wsgi import Limits

ACCEPTS_AT_ONCE: Final = 2
ACCEPT_PAUSE_SECONDS: Final = 0.0005
"""Pause after ACCEPTS_AT_ONCE connections. Without it, the first process to wake would accept all of them."""

YIELD_SECONDS: Final = 0.05
"""How long a process that is full or yielding leaves new connections to the other processes."""

YIELD_IDLE_SECONDS: Final = 1.0
"""While a process yields, it closes the connections that have been idle for longer than this. It does not
close them earlier, because a sender that just received a response might have sent a new request."""

MAX_SURPLUS: Final = 32
"""Limit on the connections that are open only to be refused; more connections wait in the kernel's queue."""

EXHAUSTED_PAUSE_SECONDS: Final = 1.0
"""How long to stop accepting connections after the host has run out of descriptors or memory."""

EXHAUSTED: Final = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}

RESERVED_DESCRIPTORS: Final = 64
"""Descriptors reserved for the journal, broker, listeners and refusals; connections get the rest."""


class HttpServer:
    """Accepts connections from the listening sockets, and closes them when they are overdue or idle."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._service = connections.service
        self._loop: asyncio.AbstractEventLoop = connections.service.loop
        self._listeners: list[socket.socket] = []
        # Keep references to the tasks, because asyncio itself has only weak references to them.
        self._tasks: set[asyncio.Task[Any]] = set()
        self._is_exhausted = False

    @property
    def is_idle(self) -> bool:
        """Whether no connection is open."""
        return self._count == 0

    def listen(self, listeners: Iterable[socket.socket]) -> None:
        """Start accepting connections on the given sockets; this object closes the sockets later."""
        for listener in listeners:
            listener.setblocking(False)
            self._listeners.append(listener)
            self._loop.add_reader(listener, self._on_readable, listener)

    def stop_listening(self) -> None:
        """Release the port at once, but serve the clients that have already connected."""
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            self._loop.remove_reader(listener)
            while self._has_capacity and self._accept(listener):
                pass
            listener.close()

    def finish(self) -> None:
        """Serve at most one more request on each connection."""
        for connection in self._connections.open | self._connections.opening:
            connection.finish_soon()

    def close_idle(self) -> None:
        """Close the connections on which no request is in progress."""
        for connection in [idle for idle in self._connections.open if not idle.is_busy]:
            connection.abort()

    def close_overdue(self) -> None:
        """Close the connections that have passed their deadline; call this about once a second."""
        now = monotonic()
        for connection in [late for late in self._connections.open if late.deadline < now]:
            connection.abort()
        if self._service.is_yielding():
            # Close idle connections, so that their senders' next requests reach other processes.
            for connection in self._connections.open.copy():
                if connection.idle_seconds > YIELD_IDLE_SECONDS:
                    connection.abort()

    @property
    def _count(self) -> int:
        return len(self._connections.open) + len(self._connections.opening)

    @property
    def _is_full(self) -> bool:
        return self._count - len(self._connections.surplus) >= self._service.limits.connections

    @property
    def _has_capacity(self) -> bool:
        return len(self._connections.surplus) < MAX_SURPLUS or not self._is_full

    def _on_readable(self, listener: socket.socket) -> None:
        accepted = 0
        is_yielding = self._service.is_yielding()
        most = 0 if is_yielding else ACCEPTS_AT_ONCE
        while accepted < most and self._has_capacity and self._accept(listener):
            accepted += 1
        # Leave the next connections to the other processes, which wait on the same socket.
        self._loop.remove_reader(listener)
        pause = YIELD_SECONDS if is_yielding or self._is_full else ACCEPT_PAUSE_SECONDS
        pause = EXHAUSTED_PAUSE_SECONDS if self._is_exhausted else pause
        self._loop.call_later(pause, self._resume, listener)

    def _resume(self, listener: socket.socket) -> None:
        if listener in self._listeners:
            self._loop.add_reader(listener, self._on_readable, listener)

    def _accept(self, listener: socket.socket) -> bool:
        """Accept one connection; return whether more connections might be waiting.

        Source: accept(2), which also reports errors of the new connection; these do not affect the listener.
        """
        try:
            sock, _ = listener.accept()
        except BlockingIOError:
            return False
        except OSError as exc:
            if exc.errno in EXHAUSTED:
                self._log_exhausted(exc)
            return False
        if self._is_exhausted:
            self._is_exhausted = False
            logger().info("accepting_again")
        self._serve(sock)
        return True

    def _serve(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        connection = HttpConnection(self._connections, is_surplus=self._is_full)
        task = self._loop.create_task(self._loop.connect_accepted_socket(lambda: connection, sock))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _log_exhausted(self, exc: OSError) -> None:
        """Log only the first failure of a series: failures can recur every second for a long time."""
        if not self._is_exhausted:
            self._is_exhausted = True
            reason = errno.errorcode.get(exc.errno or 0, "unknown")
            consequence = "senders wait until descriptors are free again"
            logger().error("accepting_paused", reason=reason, consequence=consequence)


def raise_descriptor_limit() -> int:
    """Raise this process's soft limit on open files to the hard limit; return the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # In a hardened systemd unit, setrlimit is forbidden, but systemd has set both limits to the same value.
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def fit_descriptors(limits: Limits, descriptors: int) -> Limits:
    """Return *limits*, with fewer connections if they would leave too few descriptors for other purposes."""
    available = max(1, descriptors - RESERVED_DESCRIPTORS)
    if descriptors == resource.RLIM_INFINITY or limits.connections <= available:
        return limits
    logger().warning("connections_limited", connections=available, reason="the limit on open files is lower")
    return replace(limits, connections=available)
