"""Run a WSGI application under gunicorn: one process, one loop, no threads in the request path.

gunicorn's documented extension point is `worker_class`. What stays gunicorn's: the arbiter, the listening
sockets, forking, signals and the watch over hung processes.
"""

from __future__ import annotations

import gc
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Protocol

from gunicorn.config import Config
from gunicorn.workers.base import Worker

from messaging.errors import EX_CONFIG, ConfigurationError
from messaging.log import logger
from webhook_api.http.access_log import LoggedConnection
from webhook_api.http.connection import HttpConnection, Shared
from webhook_api.http.gateway import Gateway
from webhook_api.http.limits import raise_descriptor_limit, within_descriptors
from webhook_api.http.server import HttpServer

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from wsgiref.types import WSGIApplication

    from webhook_api.answer import Answer
    from webhook_api.http.limits import Limits

REFUSED: Final = {
    "threads": "one process has one loop and no thread for requests",
    "preload_app": "nothing is opened before the fork",
    "reload": "restart it",
    "worker_connections": "set OM_MAX_CONNECTIONS",
    "keepalive": "set OM_KEEPALIVE_SECONDS",
    "max_requests": "a process runs until it is stopped",
    "accesslog": "set OM_ACCESS_LOG",
    "statsd_host": "scrape /metrics",
    "limit_request_line": "a request's head may have 32 KiB",
    "limit_request_fields": "a request's head may have 32 KiB",
    "limit_request_field_size": "a request's head may have 32 KiB",
    "certfile": "TLS is for the proxy in front",
    "keyfile": "TLS is for the proxy in front",
    "proxy_protocol": "the PROXY protocol is not spoken",
    "pre_request": "use OM_FLASK_EXTENSIONS",
    "post_request": "use OM_FLASK_EXTENSIONS",
}
"""Settings of gunicorn that have no effect under this worker and that an operator would rely on."""

TICK_SECONDS: Final = 1.0
LINGER_SECONDS: Final = 2.0
"""How long a stopping process still serves its idle connections: a request may be on its way."""

POLL_SECONDS: Final = 0.1
"""How often a stopping process looks whether its last request has been answered."""

DRAIN_SECONDS: Final = 5.0
"""How long to wait for the broker's last answer before leaving the rest to the next process."""


class Service(Protocol):
    """A WSGI application that lives on the worker's loop; made after the fork.

    `application` answers a request without waiting for anything. `logs_requests`: whether each gets a line.
    """

    loop: asyncio.AbstractEventLoop
    limits: Limits
    application: WSGIApplication
    logs_requests: bool

    def is_inviting(self) -> bool:
        """Tell whether a sender that asks first (`Expect: 100-continue`) shall send its body.

        Where it shall not, the application is called without it.
        """
        ...

    def refused(self, answer: Answer) -> object:
        """Take note of what was answered before the application was asked."""
        ...

    def start(self) -> None:
        """Begin; called before the loop runs."""
        ...

    def stop(self, then: Callable[[], None]) -> None:
        """End what was begun, call *then*."""
        ...


class LoopWorker(Worker):  # type: ignore[misc]  # gunicorn ships no annotations
    """Serve HTTP on the loop of a `Service`, which is what gunicorn's setting `wsgi_app` names."""

    alive: bool

    @classmethod
    def check_config(cls, cfg: Any, _log: object) -> None:
        """Refuse to start with a setting of gunicorn that would have no effect; gunicorn calls it first."""
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
        """Have the service made."""
        descriptors = raise_descriptor_limit()
        try:
            super().load_wsgi()
        except ConfigurationError as exc:
            logger().error("configuration_refused", reason=str(exc))
            sys.exit(EX_CONFIG)
        service: Service = self.wsgi
        self._service = service
        self._loop = service.loop
        limits = within_descriptors(service.limits, descriptors)
        gateway = Gateway(service.application)
        shared = Shared(service.loop, gateway, limits, service.is_inviting, service.refused)
        self._server = HttpServer(shared, LoggedConnection if service.logs_requests else HttpConnection)

    def run(self) -> None:
        """Serve until told to stop, then drain."""
        self._is_stopping = False
        # A process whose master is gone stops accepting at once: the next master wants the port.
        self._watch_master()
        self._loop.add_reader(self.PIPE[0], self._on_signal)
        self._server.listen(self.sockets)
        self._service.start()
        self._tick()
        # What exists now lives as long as the process: the collector need not walk it while requests wait.
        gc.collect()
        gc.freeze()
        logger().info("edge_started", pid=os.getpid(), bind=[str(each) for each in self.sockets])
        self._loop.run_forever()
        logger().info("edge_stopped", pid=os.getpid())

    def _watch_master(self) -> None:
        """Be told by the kernel when the master ends; where it cannot, `_tick` looks once a second."""
        with suppress(OSError):
            master = os.pidfd_open(self.ppid)
            self._loop.add_reader(master, self._on_master_gone, master)

    def _on_master_gone(self, master: int) -> None:
        self._loop.remove_reader(master)
        os.close(master)
        self._stop_orphaned()

    def _stop_orphaned(self) -> None:
        if self.alive:
            logger().warning("edge_orphaned", consequence="this process hands over and ends")
        self.alive = False
        self._stop()

    def _on_signal(self) -> None:
        """Read what the signal handlers' wake-up wrote, so that SIGTERM is acted on at once."""
        os.read(self.PIPE[0], 4096)
        if not self.alive:
            self._stop()

    def _tick(self) -> None:
        self._loop.call_later(TICK_SECONDS, self._tick)
        self.notify()
        self._server.close_overdue()
        if self.ppid != os.getppid():
            self._stop_orphaned()
        elif not self.alive:
            self._stop()

    def _stop(self) -> None:
        """Let go of the port, finish what has begun, hand over, end."""
        if self._is_stopping:
            return
        self._is_stopping = True
        self._server.stop_listening()
        self._server.finish()
        self._loop.call_later(LINGER_SECONDS, self._wait_for_requests)

    def _wait_for_requests(self) -> None:
        """Hand over when the last request has been answered or its time is up."""
        self._server.close_idle()
        if not self._server.is_idle:
            self._loop.call_later(POLL_SECONDS, self._wait_for_requests)
            return
        self._loop.call_later(DRAIN_SECONDS, self._loop.stop)
        self._service.stop(self._loop.stop)
