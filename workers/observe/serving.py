"""Serve metrics over HTTP until told to stop."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, start_http_server

from messaging.errors import ConfigurationError
from messaging.log import logger

if TYPE_CHECKING:
    from prometheus_client.registry import Collector

    from messaging.service_manager import ServiceManager


def serve(collector: Collector, host: str, port: int, service_manager: ServiceManager) -> None:
    """Answer scrapes of *collector* at host:port until SIGTERM or SIGINT.

    Raises:
        ConfigurationError: The address cannot be listened on.
    """
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    registry = CollectorRegistry()
    registry.register(collector)
    try:
        server, thread = start_http_server(port, addr=host, registry=registry)
    except OSError as error:
        raise ConfigurationError(f"OM_METRICS_BIND {host}:{port} cannot be listened on: {error}") from error
    logger().info("metrics_served", bind=f"{host}:{port}")
    service_manager.ready()
    stopped.wait()
    service_manager.stopping()
    server.shutdown()
    server.server_close()
    thread.join()
