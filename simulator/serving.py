"""Serve a WSGI application on loopback during a `with` block."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from wsgiref.types import WSGIApplication

from werkzeug.serving import WSGIRequestHandler, make_server

LOOPBACK: Final = "127.0.0.1"
POLL_SECONDS: Final = 0.02
"""Interval between checks for a stop request. werkzeug's default of 0.5 s would slow down most tests."""


class _Handler(WSGIRequestHandler):
    """Handles requests: keeps connections open, as real services do, and writes no log."""

    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002  the base class's name
        pass


@contextmanager
def serve_app(app: WSGIApplication, port: int = 0) -> Iterator[str]:
    """Serve *app* in a thread and yield its URL. Port 0 means any free port."""
    server = make_server(LOOPBACK, port, app, threaded=True, request_handler=_Handler)
    thread = threading.Thread(target=server.serve_forever, args=(POLL_SECONDS,), name="server")
    thread.start()
    try:
        yield f"http://{LOOPBACK}:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
