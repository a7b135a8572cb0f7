"""Accept connections, a bounded number of them, and spread them over the processes of the host."""

from __future__ import annotations

import errno
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from messaging.log import logger
from webhook_api.http.connection import HttpConnection

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import Iterable

    from webhook_api.http.connection import Shared

ACCEPTS_AT_ONCE: Final = 2
ACCEPT_PAUSE_SECONDS: Final = 0.0005
"""Without a pause, the process that wakes first takes all of a proxy's connections, and keeps them."""

FULL_PAUSE_SECONDS: Final = 0.05
"""A full process leaves a connection so long to the others before it takes it to refuse it."""

REFUSALS_AT_ONCE: Final = 32
"""Connections open only to be refused; further ones wait in the kernel's queue."""

EXHAUSTED_PAUSE_SECONDS: Final = 1.0
"""How long nothing is accepted when the host has no descriptors or memory left for it."""

EXHAUSTED: Final = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class HttpServer:
    """The listening sockets and the connections that came in by them.

    Args:
        shared: What the connections share.
        connection: What each is served by.
    """

    def __init__(self, shared: Shared, connection: type[HttpConnection] = HttpConnection) -> None:
        self._shared = shared
        self._connection = connection
        self._loop = shared.loop
        self._listeners: list[socket.socket] = []
        # asyncio keeps no task alive by itself.
        self._tasks: set[asyncio.Task[Any]] = set()
        self._is_exhausted = False

    @property
    def is_idle(self) -> bool:
        """Whether no connection is open."""
        return self._open == 0

    def listen(self, listeners: Iterable[socket.socket]) -> None:
        """Accept from now on; the sockets are ours to close."""
        for listener in listeners:
            listener.setblocking(False)
            self._listeners.append(listener)
            self._loop.add_reader(listener, self._on_readable, listener)

    def stop_listening(self) -> None:
        """Let go of the port at once; who has connected already is still served."""
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            self._loop.remove_reader(listener)
            while self._has_place and self._accept(listener):
                pass
            listener.close()

    def finish(self) -> None:
        """Serve one more request at most on each connection."""
        for connection in self._shared.connections | self._shared.opening:
            connection.finish_soon()

    def close_idle(self) -> None:
        """Close the connections on which no request has begun."""
        for connection in [each for each in self._shared.connections if not each.is_busy]:
            connection.abort()

    def close_overdue(self) -> None:
        """Close the connections whose time is up; call about once a second."""
        now = monotonic()
        for connection in [each for each in self._shared.connections if each.deadline < now]:
            connection.abort()

    @property
    def _open(self) -> int:
        return len(self._shared.connections) + len(self._shared.opening)

    @property
    def _is_full(self) -> bool:
        return self._open - len(self._shared.surplus) >= self._shared.limits.connections

    @property
    def _has_place(self) -> bool:
        return len(self._shared.surplus) < REFUSALS_AT_ONCE or not self._is_full

    def _on_readable(self, listener: socket.socket) -> None:
        accepted = 0
        while accepted < ACCEPTS_AT_ONCE and self._has_place and self._accept(listener):
            accepted += 1
        # The next connections are left to the other processes, which look at the same socket.
        self._loop.remove_reader(listener)
        self._loop.call_later(self._pause_seconds(), self._resume, listener)

    def _pause_seconds(self) -> float:
        if self._is_exhausted:
            return EXHAUSTED_PAUSE_SECONDS
        return FULL_PAUSE_SECONDS if self._is_full else ACCEPT_PAUSE_SECONDS

    def _resume(self, listener: socket.socket) -> None:
        if listener in self._listeners:
            self._loop.add_reader(listener, self._on_readable, listener)

    def _accept(self, listener: socket.socket) -> bool:
        """Accept one connection; return whether there may be more.

        Source: accept(2): errors of the new connection itself come out here too, and mean the next one.
        """
        try:
            sock, _ = listener.accept()
        except BlockingIOError:
            return False
        except OSError as exc:
            if exc.errno in EXHAUSTED:
                self._tell_exhausted(exc)
            return False
        if self._is_exhausted:
            self._is_exhausted = False
            logger().info("accepting_again")
        self._serve(sock)
        return True

    def _serve(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        connection = self._connection(self._shared, is_surplus=self._is_full)
        task = self._loop.create_task(self._loop.connect_accepted_socket(lambda: connection, sock))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _tell_exhausted(self, exc: OSError) -> None:
        """Log the first failure of an episode, not one a second."""
        if not self._is_exhausted:
            self._is_exhausted = True
            logger().error(
                "accepting_paused",
                reason=errno.errorcode.get(exc.errno or 0, "unknown"),
                consequence="senders wait until descriptors are free again",
            )
