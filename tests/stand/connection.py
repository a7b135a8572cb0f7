"""Handle one connection of a sender: send a request, and parse its answer."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING, Final

from tests.stand.records import REFUSED, RESET, TIMEOUT

if TYPE_CHECKING:
    from tests.stand.order import Try

FAILURES: Final = {
    errno.ECONNREFUSED: REFUSED,
    errno.ECONNRESET: RESET,
    errno.EPIPE: RESET,
    errno.ETIMEDOUT: TIMEOUT,
}


class Connection:
    """A keep-alive connection, and the request in progress on it."""

    __slots__ = ("answer", "on", "sent_at", "sock", "unsent")

    def __init__(self, port: int) -> None:
        self.sock = socket.socket()
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.connect_ex(("127.0.0.1", port))
        self.on: Try | None = None
        self.sent_at = 0.0
        self.unsent = b""
        self.answer = b""

    def go_on(self) -> bool:
        """Send as much of the request as possible; return whether the whole request has been sent."""
        try:
            self.unsent = self.unsent[self.sock.send(self.unsent) :]
        except BlockingIOError:
            return False
        return not self.unsent


def parsed(answer: bytes) -> tuple[int, int, bool] | None:
    """Return the status, the Retry-After and whether the connection stays open; None for a partial answer.

    Raises:
        ValueError: The bytes are not a valid answer.
    """
    head, separator, body = answer.partition(b"\r\n\r\n")
    if not separator:
        return None
    lines = head.lower().split(b"\r\n")
    if not lines[0].startswith(b"http/1.1 "):
        raise ValueError("no status line")
    headers = dict(line.split(b":", 1) for line in lines[1:])
    missing = int(headers.get(b"content-length", b"0")) - len(body)
    if missing > 0:
        return None
    if missing < 0:
        raise ValueError("more than one answer")
    stays = headers.get(b"connection", b"").strip() != b"close"
    return int(lines[0][9:12]), int(headers.get(b"retry-after", b"0")), stays
