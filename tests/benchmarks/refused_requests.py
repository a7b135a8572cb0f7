"""Send an edge the bad requests that every public edge receives, so that benchmarks include their effect."""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING, Any, Final

from tests.servers import LOOPBACK
from webhook_api.application import WEBHOOK_PATH

if TYPE_CHECKING:
    from collections.abc import Callable

_HOST: Final = "Host: 127.0.0.1\r\n"
_FIRST: Final = (
    f"GET /webhooks/genesys/nothing HTTP/1.1\r\n{_HOST}\r\n"
    f"GET {WEBHOOK_PATH} HTTP/1.1\r\n{_HOST}\r\n"
    f"POST {WEBHOOK_PATH} HTTP/1.1\r\n{_HOST}Content-Length: 2\r\n\r\n{{}}"
)
"""Three requests that the edge must answer with 404, 405 and 401, in that order."""

_LAST: Final = (
    f"POST {WEBHOOK_PATH} HTTP/1.1\r\n{_HOST}Content-Length: 999999999\r\n\r\n",
    "this is no HTTP\r\n\r\n",
)
"""Two requests that the edge must answer with 413 and 400. Each of these answers closes the connection."""

MAX_CONNECTIONS: Final = 2_000


def provoke_errors(port: int, refusals: Callable[[], list[dict[str, Any]]], processes: int) -> None:
    """Make every process of an edge answer with 404, 405, 401, 413 and, to a malformed request, 400.

    Args:
        port: The edge's port on loopback; its processes share the connections.
        refusals: Returns how often each process has refused requests, by status.
        processes: The number of the edge's processes.

    Raises:
        TimeoutError: A process has not answered each kind of bad request.
    """
    for number in range(MAX_CONNECTIONS):
        _converse(port, _FIRST + _LAST[number % 2])
        if number % 20 == 19:
            counts = refusals()
            if sum(all(str(status) in each for status in (400, 401, 413)) for each in counts) >= processes:
                return
    raise TimeoutError("an edge process has not answered every error")


def _converse(port: int, requests: str) -> None:
    with socket.create_connection((LOOPBACK, port), timeout=10) as connection:
        connection.sendall(requests.encode())
        answers = b""
        while received := connection.recv(65536):
            answers += received
    statuses = re.findall(r"^HTTP/1\.1 (\d+)", answers.decode(), re.MULTILINE)
    assert statuses in (["404", "405", "401", "413"], ["404", "405", "401", "400"]), " ".join(statuses)
