"""Serve metrics and the status page over HTTP until told to stop."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

from werkzeug.serving import WSGIRequestHandler, make_server

from messaging.errors import ConfigurationError
from messaging.log import logger

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

    from messaging.process import ServiceManager


class _Handler(WSGIRequestHandler):
    """Writes no log, a scrape is no news; and holds no thread for whoever is silent for a minute."""

    timeout = 60.0

    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002  its base's name
        pass


def serve(app: WSGIApplication, host: str, port: int, service_manager: ServiceManager) -> None:
    """Answer requests at host:port until SIGTERM or SIGINT.

    Raises:
        ConfigurationError: The address cannot be listened on.
    """
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    try:
        server = make_server(host, port, app, threaded=True, request_handler=_Handler)
    except (OSError, SystemExit) as error:
        raise ConfigurationError(f"OM_METRICS_BIND {host}:{port} cannot be listened on: {error}") from error
    thread = threading.Thread(target=server.serve_forever, name="server")
    thread.start()
    logger().info("metrics_served", bind=f"{host}:{port}")
    service_manager.ready()
    stopped.wait()
    service_manager.stopping()
    server.shutdown()
    thread.join()
    server.server_close()
