"""Post bodies over one keep-alive connection, as a proxy in front of the edge would."""

from __future__ import annotations

import base64
import hmac
import socket
import time
from dataclasses import dataclass

PATH = "/webhooks/genesys/openmessaging"
TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of one request.

    Args:
        status: The HTTP status; 0 where no answer came.
        seconds: From the first byte sent to the last byte read.
        at: Monotonic seconds when it ended.
        retry_after: Whole seconds, where the answer said so.
        failure: The kind of failure where no answer came.
    """

    status: int
    seconds: float
    at: float
    retry_after: int | None = None
    failure: str = ""


class KeepAliveClient:
    """One connection, made anew after it was closed or failed.

    Args:
        port: Of the edge, on loopback.
        secret: Signs every body.
    """

    def __init__(self, port: int, secret: bytes) -> None:
        self._port = port
        self._secret = secret
        self._socket: socket.socket | None = None

    def post(self, body: bytes) -> Reply:
        """Send one body and wait for the answer; never raises for the network's sake."""
        request = self._request(body)
        started = time.monotonic()
        try:
            status, retry_after = self._exchange(request)
        except OSError as error:
            self.close()
            ended = time.monotonic()
            return Reply(0, ended - started, ended, failure=type(error).__name__)
        ended = time.monotonic()
        return Reply(status, ended - started, ended, retry_after)

    def close(self) -> None:
        """Close the connection; the next post opens another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _request(self, body: bytes) -> bytes:
        signature = base64.b64encode(hmac.digest(self._secret, body, "sha256")).decode()
        head = (
            f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"X-Hub-Signature-256: sha256={signature}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    def _exchange(self, request: bytes) -> tuple[int, int | None]:
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port), TIMEOUT_SECONDS)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(request)
        status, headers = self._read_answer(self._socket)
        if headers.get("connection", "").lower() == "close":
            self.close()
        return status, int(headers["retry-after"]) if "retry-after" in headers else None

    @staticmethod
    def _read_answer(connection: socket.socket) -> tuple[int, dict[str, str]]:
        data = b""
        while b"\r\n\r\n" not in data:
            data += _more(connection)
        head, _, rest = data.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (ln.partition(":") for ln in lines[1:])}
        missing = int(headers.get("content-length", "0")) - len(rest)
        while missing > 0:
            missing -= len(_more(connection))
        return int(lines[0].split()[1]), headers


def _more(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise ConnectionResetError("closed before the answer")
    return data
