"""Find free loopback ports."""

import random
import socket

LOOPBACK = "127.0.0.1"

# Below the kernel's ephemeral range, so that no outgoing connection of this machine can take the port between
# the moment it was found free and the moment the server binds it.
MIN_PORT = 20_000
MAX_PORT = 32_000


def is_free(port: int) -> bool:
    """Return whether a server could listen on the loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """Return a free loopback port, drawn at random so that two searchers rarely meet."""
    for port in random.sample(range(MIN_PORT, MAX_PORT), k=1000):
        if is_free(port):
            return port
    raise OSError(f"no free port between {MIN_PORT} and {MAX_PORT}")


def answers(port: int, *, host: str = LOOPBACK, timeout: float = 0.5) -> bool:
    """Return whether a server accepts a connection on the port; blocks for *timeout* at most."""
    try:
        with socket.create_connection((host, port), timeout=timeout):
            return True
    except OSError:
        return False
