"""Serve a simulated platform on this host, for as long as it is wanted."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from werkzeug.serving import WSGIRequestHandler, make_server

from simulator.platform.app import create_platform

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulator.platform.organisation import Organisation
    from simulator.platform.page import Fates

LOOPBACK: Final = "127.0.0.1"


class _Handler(WSGIRequestHandler):
    """Keeps connections open and writes no log."""

    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002  its base's name
        pass


@contextmanager
def serving_platform(
    organisation: Organisation, port: int = 0, *, fates: Fates | None = None
) -> Iterator[str]:
    """Serve *organisation* and its page in a thread; yields the address.

    Args:
        organisation: What is served.
        port: Where; 0 for any that is free.
        fates: Says on the page what became of a webhook behind the edge.
    """
    app = create_platform(organisation, has_page=True, fates=fates)
    server = make_server(LOOPBACK, port, app, threaded=True, request_handler=_Handler)
    thread = threading.Thread(target=server.serve_forever, name="platform")
    thread.start()
    try:
        yield f"http://{LOOPBACK}:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        organisation.outbound.stop()
