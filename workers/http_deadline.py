"""Give each HTTP request one overall deadline, limit the size of its answer, and parse Retry-After.

Mount the adapter on a session. The `timeout` of each request then limits the total time for trying the
host's addresses in turn, completing the TLS handshake, sending the request and reading the answer, even if
the answer arrives one byte at a time. A host name's lookup cannot be interrupted, but if it outlasts the
deadline, nothing is sent. A missed deadline or an overlong answer raises a `requests.RequestException` or, if
the caller reads a streamed answer's body from `raw`, a urllib3 error.
"""

import errno
import io
import socket
import time
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPResponse
from typing import Any, Final

import requests
from requests.adapters import DEFAULT_POOLSIZE, HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError


@dataclass(slots=True)
class _Deadline:
    ends: float
    max_answer_bytes: int

    def remaining(self) -> float:
        """Return how many seconds are left; raise TimeoutError if none are left."""
        if (seconds := self.ends - time.monotonic()) <= 0:
            raise TimeoutError("the deadline of the request has passed")
        return seconds


# A context variable holds the deadline, because urllib3 cannot pass it on; a request runs in one thread.
_current: Final[ContextVar[_Deadline]] = ContextVar("deadline")


class DeadlineAdapter(HTTPAdapter):
    """Sends requests; the `timeout` of a request, in seconds, limits the duration of the whole request.

    *max_answer_bytes* limits the size of an answer before decompression, including its headers. Up to
    *connections* connections to each host stay open.
    """

    def __init__(self, *, max_answer_bytes: int, connections: int = DEFAULT_POOLSIZE) -> None:
        self._max_answer_bytes = max_answer_bytes
        super().__init__(pool_maxsize=connections)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **options: Any) -> Any:
        """Return a proxy manager whose connections also obey the deadline."""
        manager = super().proxy_manager_for(*args, **options)
        manager.pool_classes_by_scheme = _POOLS
        return manager

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        """Send *request*; the option `timeout`, in seconds, is required."""
        begin_deadline(options["timeout"], max_answer_bytes=self._max_answer_bytes)
        return super().send(request, *args, **options)


def begin_deadline(seconds: float, *, max_answer_bytes: int) -> None:
    """Set the limits for this thread's next request over a DeadlineAdapter's connection.

    Call this only if the request is not sent with the adapter's `send`.
    """
    _current.set(_Deadline(time.monotonic() + seconds, max_answer_bytes))


def shorten_deadline(seconds: float) -> None:
    """Shorten the deadline of this thread's last request to at most *seconds* from now."""
    deadline = _current.get()
    deadline.ends = min(deadline.ends, time.monotonic() + seconds)


def parse_retry_after(header: str | None, now: datetime) -> float | None:
    """Return how many seconds to wait, possibly negative or infinite; None if the header is invalid.

    Source: RFC 9110, section 10.2.3: the header contains seconds or a date.
    """
    if not header:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            moment = parsedate_to_datetime(header)
        except (ValueError, OverflowError):
            return None
        seconds = ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now).total_seconds()
    return seconds if seconds == seconds else None  # noqa: PLR0124  # only NaN differs from itself


class _Answer(HTTPResponse):
    """Reads an answer until it ends or its request's deadline passes."""

    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp.close()
        self.fp = io.BufferedReader(_Reader(sock, _current.get()))


class _Reader(io.RawIOBase):
    def __init__(self, sock: socket.socket, deadline: _Deadline) -> None:
        self._sock = sock
        # As in http.client, this keeps the socket open for the body after the connection has been closed.
        self._raw = sock.makefile("rb", buffering=0)
        self._deadline = deadline
        self._left = deadline.max_answer_bytes

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._deadline.remaining())
        count = self._raw.readinto(buffer)
        self._left -= count or 0
        if self._left < 0:
            raise OSError(errno.EMSGSIZE, "the answer is too long")
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Connection(HTTPConnection):
    """Connects, sends and receives until the deadline of the request that uses the connection."""

    response_class = _Answer
    _parts: list[bytes] | None = None

    # _new_conn and _dns_host are private names of urllib3, which has no public way to limit the total time
    # for all addresses of a host. setup.cfg therefore pins urllib3 below its next minor release.
    def _new_conn(self) -> socket.socket:
        deadline, name = _current.get(), self._dns_host
        try:
            found = socket.getaddrinfo(name.strip("[]"), self.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise NameResolutionError(self.host, self, socket.gaierror(str(error))) from error
        failure: Exception = NewConnectionError(self, "no address")
        try:
            for address in dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found):
                self._dns_host, self.timeout = address, deadline.remaining()
                try:
                    sock = super()._new_conn()
                except (ConnectTimeoutError, NewConnectionError) as error:
                    failure = error
                else:
                    # The TLS handshake must also end by the deadline.
                    sock.settimeout(deadline.remaining())
                    return sock
        except TimeoutError:
            raise ConnectTimeoutError(self, f"Connection to {name} timed out.") from failure
        finally:
            self._dns_host = name
        raise failure

    def request(self, *args: Any, **options: Any) -> None:
        """Send a request's head and body in one system call, because each call can wait for other threads."""
        parts = self._parts = []
        try:
            super().request(*args, **options)
        finally:
            self._parts = None
        self.send(b"".join(parts))

    def send(self, data: Any) -> None:
        if self._parts is not None:
            self._parts.append(data)
            return
        if self.sock is not None:
            self.sock.settimeout(_current.get().remaining())
        super().send(data)


class _SecureConnection(_Connection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


_POOLS: Final = {"http": _Pool, "https": _SecurePool}
