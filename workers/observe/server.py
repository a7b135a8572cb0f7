"""Run the HTTP server of metrics and status page: gunicorn, with one process and some threads."""

import signal
import socket
from collections.abc import Callable
from typing import Any, Final
from wsgiref.types import WSGIApplication

from gunicorn.app.base import BaseApplication

from messaging.errors import ConfigurationError
from messaging.log import logger

THREADS: Final = 8

STOP_SECONDS: Final = 5


def serve(make_app: Callable[[], WSGIApplication], bind: str) -> None:
    """Answer requests until SIGTERM or SIGINT; *make_app* is called in the process that serves."""
    try:
        # gunicorn itself would try for some seconds, and then exit with another status.
        host, _, port = bind.rpartition(":")
        socket.create_server((host, int(port))).close()
    except OSError as error:
        raise ConfigurationError(f"OM_METRICS_BIND {bind} cannot be listened on: {error}") from error
    _Server(make_app, bind).run()


class _Server(BaseApplication):  # type: ignore[misc]  # gunicorn has no annotations
    """gunicorn, configured by us alone; it reports to systemd itself."""

    def __init__(self, make_app: Callable[[], WSGIApplication], bind: str) -> None:
        self._make_app = make_app
        self._bind = bind
        self._on_hangup: Any = signal.getsignal(signal.SIGHUP)
        self._is_reloaded = False
        super().__init__()

    def load_config(self) -> None:
        settings = {
            "bind": self._bind,
            "worker_class": "gthread",
            "threads": THREADS,
            "graceful_timeout": STOP_SECONDS,
            "loglevel": "warning",
            "when_ready": lambda _: logger().info("metrics_served", bind=self._bind),
            "on_reload": lambda _: setattr(self, "_is_reloaded", True),
        }
        for name, value in settings.items():
            self.cfg.set(name, value)

    def load(self) -> WSGIApplication:
        if self._is_reloaded and callable(self._on_hangup):
            # gunicorn replaces the process at SIGHUP: its log level is read again here.
            self._on_hangup(signal.SIGHUP, None)
        return self._make_app()
