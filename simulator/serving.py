"""Serve a WSGI application on this host, for as long as it is wanted."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from werkzeug.serving import WSGIRequestHandler, make_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from wsgiref.types import WSGIApplication

LOOPBACK: Final = "127.0.0.1"
# How soon it is seen that serving shall end; werkzeug's half a second is what most tests would wait for.
LOOK_SECONDS = 0.02


class _Handler(WSGIRequestHandler):
    """Keeps connections open, as services do, and writes no log."""

    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002  its base's name
        pass


@contextmanager
def serving_app(app: WSGIApplication, port: int = 0) -> Iterator[str]:
    """Serve *app* in a thread; yields the address.

    Args:
        app: What is served.
        port: Where; 0 for any that is free.
    """
    server = make_server(LOOPBACK, port, app, threaded=True, request_handler=_Handler)
    thread = threading.Thread(target=server.serve_forever, args=(LOOK_SECONDS,), name="server")
    thread.start()
    try:
        yield f"http://{LOOPBACK}:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
