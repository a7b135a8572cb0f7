"""A server whose answers a test writes byte by byte."""

import socket
import threading
from contextlib import contextmanager, suppress

from tests.servers import LOOPBACK, free_port


@contextmanager
def server(answer):
    """Serve each connection with `answer(socket)` in a thread, and yield the port."""
    with socket.create_server((LOOPBACK, free_port())) as listening:

        def accept():
            with suppress(OSError):
                while True:
                    accepted, _ = listening.accept()
                    threading.Thread(target=serve, args=(accepted,), daemon=True).start()

        def serve(accepted):
            with accepted, suppress(OSError):
                answer(accepted)

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()
