"""Run a WSGI application under gunicorn, with one loop per process and no threads for requests.

LoopWorker is set as `worker_class`, gunicorn's documented extension point. gunicorn still provides the
arbiter, the listening sockets, forking, signals and the detection of hung processes.
"""

import gc
import os
import sys
from dataclasses import replace
from typing import Any, Final

from gunicorn.config import Config
from gunicorn.workers.base import Worker

from messaging.errors import EX_CONFIG, ConfigurationError
from messaging.log import logger
from webhook_api.http.connection import Connections
from webhook_api.http.server import HttpServer, fit_descriptors, raise_descriptor_limit
from webhook_api.http.wsgi import Service, WsgiAdapter

REFUSED: Final = {
    "threads": "a process serves all requests on one loop, without threads",
    "preload_app": "no file or connection may be opened before the fork",
    "reload": "restart the edge",
    "worker_connections": "set OM_MAX_CONNECTIONS",
    "keepalive": "idle connections stay open for 75 s",
    "max_requests": "a process runs until it is stopped",
    "accesslog": "nginx has an access log",
    "certfile": "the proxy in front terminates TLS",
    "pre_request": "use OM_FLASK_EXTENSIONS",
    "post_request": "use OM_FLASK_EXTENSIONS",
}
"""gunicorn settings that would have no effect, each with advice for operators who want to use it."""

TICK_SECONDS: Final = 1.0
LINGER_SECONDS: Final = 2.0
"""How long a stopping process keeps its idle connections open, because a request might be on its way."""

POLL_SECONDS: Final = 0.1
"""Interval at which a stopping process checks whether its last request has been answered."""

DRAIN_SECONDS: Final = 5.0
"""How long a stopping process waits for the broker's last answer; its unproven events are then adopted."""


class LoopWorker(Worker):  # type: ignore[misc]  # gunicorn ships no annotations
    """Serves HTTP on the loop of the `Service` that gunicorn's setting `wsgi_app` names."""

    alive: bool

    @classmethod
    def check_config(cls, cfg: Any, _log: object) -> None:
        """Refuse to start if a gunicorn setting in REFUSED was changed; gunicorn calls this first."""
        defaults = Config().settings
        refused = [
            f"gunicorn's {name} has no effect: {advice}"
            for name, advice in REFUSED.items()
            if cfg.settings[name].get() != defaults[name].get()
        ]
        if refused:
            logger().error("configuration_refused", reason="; ".join(refused))
            sys.exit(EX_CONFIG)

    def load_wsgi(self) -> None:
        """Load the service and create its HTTP server; gunicorn calls this after the fork."""
        descriptors = raise_descriptor_limit()
        try:
            super().load_wsgi()
        except ConfigurationError as exc:
            logger().error("configuration_refused", reason=str(exc))
            sys.exit(EX_CONFIG)
        service: Service = self.wsgi
        self._service = replace(service, limits=fit_descriptors(service.limits, descriptors))
        self._loop = service.loop
        self._server = HttpServer(Connections(self._service, WsgiAdapter(service).respond))

    def run(self) -> None:
        """Serve requests until gunicorn stops this process or gunicorn's master ends; then drain."""
        self._is_stopping = False
        self._loop.add_reader(self.PIPE[0], self._on_signal)
        self._server.listen(self.sockets)
        self._service.start()
        self._tick()
        # The objects that exist now live as long as the process, so exclude them from garbage collection.
        gc.collect()
        gc.freeze()
        logger().info("edge_started", pid=os.getpid(), bind=[str(listener) for listener in self.sockets])
        self._loop.run_forever()
        logger().info("edge_stopped", pid=os.getpid())

    def _on_signal(self) -> None:
        """Read the bytes that gunicorn's signal handlers send to wake the loop; act on SIGTERM at once."""
        os.read(self.PIPE[0], 4096)
        if not self.alive:
            self._stop()

    def _tick(self) -> None:
        self._loop.call_later(TICK_SECONDS, self._tick)
        self.notify()
        self._server.close_overdue()
        if self.ppid != os.getppid() and self.alive:
            logger().warning("edge_orphaned", consequence="this process drains and ends")
            self.alive = False
        if not self.alive:
            self._stop()

    def _stop(self) -> None:
        """Release the port, finish the requests in progress, and then stop the service."""
        if self._is_stopping:
            return
        self._is_stopping = True
        self._server.stop_listening()
        self._service.leave()
        self._server.finish()
        self._loop.call_later(LINGER_SECONDS, self._wait_for_requests)

    def _wait_for_requests(self) -> None:
        """Stop the service once the last request has been answered or has passed its deadline."""
        self._server.close_idle()
        if not self._server.is_idle:
            self._loop.call_later(POLL_SECONDS, self._wait_for_requests)
            return
        self._loop.call_later(DRAIN_SECONDS, self._loop.stop)
        self._service.stop(self._loop.stop)
