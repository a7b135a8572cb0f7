"""Run an edge process under gunicorn: one process, one loop, no threads in the request path.

gunicorn's documented extension point is `worker_class`. What stays gunicorn's: the arbiter, the listening
sockets, forking, signals and the watch over hung processes.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from typing import TYPE_CHECKING, Final

from gunicorn.workers.base import Worker

from messaging.errors import EX_CONFIG, ConfigurationError
from messaging.log import configure_logging, logger
from webhook_api.app import Edge
from webhook_api.http.connection import HttpConnection
from webhook_api.settings import EdgeSettings

if TYPE_CHECKING:
    import socket

TICK_SECONDS: Final = 1.0
LINGER_SECONDS: Final = 2.0
"""How long a stopping process still serves its idle connections: a request may be on its way."""

ACCEPTS_AT_ONCE: Final = 2
ACCEPT_PAUSE_SECONDS: Final = 0.0005
"""Without a pause, the process that wakes first takes all of a proxy's connections, and keeps them."""

DRAIN_SECONDS: Final = 5.0
"""How long to wait for the broker's last answer before leaving the rest to the next process."""


class LoopWorker(Worker):  # type: ignore[misc]  # gunicorn ships no annotations
    """Serve HTTP and carry the broker's connection on one loop."""

    def load_wsgi(self) -> None:
        """Put the process together; its Flask application is the `wsgi` that gunicorn asks for."""
        try:
            self.edge = Edge(EdgeSettings.from_environment())
        except ConfigurationError as exc:
            logger().error("configuration_refused", reason=str(exc))
            sys.exit(EX_CONFIG)
        self.wsgi = self.edge.flask

    def run(self) -> None:
        """Serve until told to stop, then drain."""
        settings = self.edge.settings
        configure_logging(settings.log_level, process="edge", form=settings.log_form)
        self._connections: set[HttpConnection] = set()
        self._listening: set[socket.socket] = set()
        self._is_draining = False
        loop = self.edge.loop
        for listener in self.sockets:
            listener.setblocking(False)
            self._listen(listener)
        loop.add_reader(self.PIPE[0], self._on_signal)
        self.edge.start()
        self._tick()
        # What exists now lives as long as the process: the collector need not walk it while requests wait.
        gc.collect()
        gc.freeze()
        logger().info("edge_started", pid=os.getpid(), bind=self.edge.settings.bind)
        loop.run_forever()
        logger().info("edge_stopped", pid=os.getpid())

    def _listen(self, listener: socket.socket) -> None:
        if not self._is_draining:
            self.edge.loop.add_reader(listener.fileno(), self._accept, listener)
            self._listening.add(listener)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(ACCEPTS_AT_ONCE):
            try:
                sock, address = listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                break
            self._serve(sock, address)
        self._pause(listener)

    def _pause(self, listener: socket.socket) -> None:
        """Leave the next connections to the other processes, which look at the same socket."""
        self.edge.loop.remove_reader(listener.fileno())
        self._listening.discard(listener)
        self.edge.loop.call_later(ACCEPT_PAUSE_SECONDS, lambda: self._listen(listener))

    def _serve(self, sock: socket.socket, address: object) -> None:
        sock.setblocking(False)
        peer = str(address[0]) if isinstance(address, tuple) else ""
        self._connections.add(HttpConnection(self.edge, sock, peer, self._connections.discard))

    def _on_signal(self) -> None:
        """Read what the signal handlers' wake-up wrote, so that SIGTERM is acted on at once."""
        os.read(self.PIPE[0], 4096)
        if not self.alive:
            self._drain()

    def _tick(self) -> None:
        self.edge.loop.call_later(TICK_SECONDS, self._tick)
        self.notify()
        now = time.monotonic()
        for connection in [c for c in self._connections if c.deadline < now]:
            connection.close()
        if self.ppid != os.getppid():
            self.alive = False
        if not self.alive:
            self._drain()

    def _drain(self) -> None:
        """Accept no more, finish what has begun, hand over, stop."""
        if self._is_draining:
            return
        self._is_draining = True
        loop = self.edge.loop
        for listener in self._listening:
            loop.remove_reader(listener.fileno())
        for connection in list(self._connections):
            connection.finish_soon()
        loop.call_later(LINGER_SECONDS, self._hand_over)

    def _hand_over(self) -> None:
        for connection in list(self._connections):
            connection.close()
        loop = self.edge.loop
        loop.call_later(DRAIN_SECONDS, loop.stop)
        self.edge.stop(loop.stop)
