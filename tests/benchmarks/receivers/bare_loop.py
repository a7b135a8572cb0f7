"""Read requests and answer 200 on one loop, without looking at them: what gunicorn, epoll and Python leave.

A gunicorn worker class, `gunicorn --worker-class tests.benchmarks.receivers.bare_loop.BareLoopWorker`.
"""

from __future__ import annotations

import selectors
from typing import TYPE_CHECKING, Final

from gunicorn.workers.base import Worker

from tests.benchmarks.events import BODY_BYTES

if TYPE_CHECKING:
    import socket

ANSWER: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
TICK_SECONDS: Final = 1.0


class BareLoopWorker(Worker):  # type: ignore[misc]  # gunicorn ships no annotations
    """Takes whatever one read brings for one whole request, as those of the benchmarks are."""

    def run(self) -> None:
        """Serve until told to stop."""
        self._selector = selectors.DefaultSelector()
        for listener in self.sockets:
            listener.setblocking(False)
            self._selector.register(listener, selectors.EVENT_READ, self._accept)
        while self.alive:
            for key, _ in self._selector.select(TICK_SECONDS):
                key.data(key.fileobj)
            self.notify()

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except BlockingIOError:
            return
        connection.setblocking(False)
        self._selector.register(connection, selectors.EVENT_READ, self._answer)

    def _answer(self, connection: socket.socket) -> None:
        try:
            data = connection.recv(65536)
        except ConnectionResetError:
            data = b""
        if len(data) > BODY_BYTES:
            connection.send(ANSWER)
        else:
            self._selector.unregister(connection)
            connection.close()
