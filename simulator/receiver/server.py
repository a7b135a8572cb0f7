"""Serve a receiver on this host, for as long as it is wanted."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from werkzeug.serving import WSGIRequestHandler, make_server

from simulator.receiver.app import create_receiver

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulator.receiver.inbox import Inbox

LOOPBACK = "127.0.0.1"


class _Handler(WSGIRequestHandler):
    """Keeps connections open, as services do, and writes no log."""

    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002  # its base's name
        pass


@contextmanager
def serving(inbox: Inbox, port: int = 0) -> Iterator[str]:
    """Serve *inbox* in a thread; yields the address, to which a destination's name is the path.

    Args:
        inbox: Takes what comes.
        port: Where; 0 for any that is free.
    """
    server = make_server(LOOPBACK, port, create_receiver(inbox), threaded=True, request_handler=_Handler)
    thread = threading.Thread(target=server.serve_forever, name="receiver")
    thread.start()
    try:
        yield f"http://{LOOPBACK}:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
