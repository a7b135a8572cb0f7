"""Log each request in one line, where that is asked for (OM_ACCESS_LOG); without it nothing here is run."""

from __future__ import annotations

from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from messaging.log import logger
from webhook_api.http.connection import HttpConnection
from webhook_api.http.gateway import REQUEST_ID

if TYPE_CHECKING:
    from webhook_api.http.connection import Shared

_STATUS: Final = slice(9, 12)
"""Where a response has its status: behind `HTTP/1.1 `."""


SENT_ID: Final = "HTTP_X_REQUEST_ID"
"""What the proxy calls a request that was not taken in."""

PATH_LENGTH: Final = 256
"""No path of ours is longer."""


class _Request(NamedTuple):
    """A request whose answer has not left yet."""

    began_at: float
    method: str
    path: str
    request_id: str | None


class LoggedConnection(HttpConnection):
    """A connection that tells of each answer when it leaves.

    The query is left out, and the address, which is the proxy's: its own log has the sender's, under the same
    request id.
    """

    def __init__(self, shared: Shared, *, is_surplus: bool) -> None:
        super().__init__(shared, is_surplus=is_surplus)
        self._began_at = monotonic()
        self._unanswered: deque[_Request] = deque()
        self._ask, self._respond = self._respond, self._respond_noting

    def buffer_updated(self, nbytes: int) -> None:
        """Called when bytes have come."""
        if not self._reader.is_in_request:
            self._began_at = monotonic()
        super().buffer_updated(nbytes)

    def _respond_noting(self, environ: dict[str, Any], keep_alive: bool) -> bytes:  # noqa: FBT001  # as there
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"][:PATH_LENGTH]
        data = self._ask(environ, keep_alive)
        request_id = environ.get(REQUEST_ID) or environ.get(SENT_ID)
        self._unanswered.append(_Request(self._began_at, method, path, request_id))
        return data

    def _send(self, data: bytes, keep_alive: bool) -> None:  # noqa: FBT001  # as there
        super()._send(data, keep_alive)
        # What is refused before it is whole has no method or path that could be trusted.
        request = self._unanswered.popleft() if self._unanswered else None
        began_at = request.began_at if request else self._began_at
        logger().info(
            "request_answered",
            method=request.method if request else None,
            path=request.path if request else None,
            status=int(data[_STATUS]),
            bytes=len(data),
            ms=round((monotonic() - began_at) * 1000, 2),
            request_id=request.request_id if request else None,
        )
