"""Call the platform's API: within the rate budget, with one deadline per request, and never a POST twice."""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

import requests
from urllib3.exceptions import NewConnectionError

from messaging.log import logger
from workers.genesys.budget import RequestBudget
from workers.genesys.errors import PlatformBusyError, PlatformRefusedError, PlatformUnavailableError
from workers.genesys.settings import GenesysSettings
from workers.genesys.tokens import RETRY_SECONDS, Tokens, limit_session
from workers.http_deadline import parse_retry_after

CORRELATION_HEADER: Final = "inin-correlation-id"

REQUEST_SECONDS: Final = 15.0
"""Time limit for a whole request, from the connection to the end of the response."""

MAX_RETRY_AFTER: Final = 120.0
"""The platform counts requests by the minute, so a longer delay in a header is an error."""


class GenesysClient:
    """The platform's API. Several threads may use it. Each method blocks for seconds.

    Each raises PlatformUnavailableError if the platform is away, over its limit or fails (retry later), and
    PlatformRefusedError if it refuses the request. Omit the budget if no other process shares the limit.
    """

    def __init__(
        self,
        settings: GenesysSettings,
        budget: RequestBudget | None,
        request_seconds: float = REQUEST_SECONDS,
    ) -> None:
        self._base = settings.api_url
        self._budget = budget
        self._request_seconds = request_seconds
        self._tokens = Tokens(settings, request_seconds)
        # The adapters of requests do not retry by themselves.
        self._http = limit_session(requests.Session())

    def get(self, path: str, **parameters: str) -> dict[str, Any]:
        """Return the object at *path*; a revoked token is renewed once."""
        return self._request("GET", path, is_repeatable=True, params=parameters)

    def query(self, path: str, content: Any) -> dict[str, Any]:
        """Send a POST that changes nothing, and repeat it once if the token was revoked."""
        return self._request("POST", path, is_repeatable=True, json=content)

    def post(self, path: str, content: dict[str, Any]) -> dict[str, Any]:
        """Send *content* to *path* once; without a response it is unknown whether it arrived."""
        return self._request("POST", path, is_repeatable=False, json=content)

    def put(self, path: str, content: dict[str, Any]) -> dict[str, Any]:
        """Replace the object at *path*; repeating it does no harm."""
        return self._request("PUT", path, is_repeatable=False, json=content)

    def patch(self, path: str, content: dict[str, Any]) -> dict[str, Any]:
        """Change the fields of *content* at *path*; repeating it does no harm."""
        return self._request("PATCH", path, is_repeatable=False, json=content)

    def delete(self, path: str) -> None:
        """Remove the object at *path*; repeating it does no harm."""
        self._request("DELETE", path, is_repeatable=False)

    def _request(self, method: str, path: str, *, is_repeatable: bool, **arguments: Any) -> dict[str, Any]:
        token = self._tokens.current()
        answer = self._send(method, path, token, **arguments)
        if answer.status_code == HTTPStatus.UNAUTHORIZED:
            self._tokens.forget(token)
            if is_repeatable:
                answer = self._send(method, path, self._tokens.current(), **arguments)
        return self._read(answer, path)

    def _send(self, method: str, path: str, token: str, **arguments: Any) -> requests.Response:
        if self._budget is not None:
            self._budget.take()
        try:
            return self._http.request(
                method,
                f"{self._base}{path}",
                headers={"Authorization": f"Bearer {token}"},
                timeout=self._request_seconds,
                allow_redirects=False,
                **arguments,
            )
        except requests.RequestException as error:
            raise PlatformUnavailableError(
                type(error).__name__, delay=RETRY_SECONDS, may_have_arrived=not _is_unsent(error)
            ) from None

    def _read(self, answer: requests.Response, path: str) -> dict[str, Any]:
        status, content = answer.status_code, _read_json(answer)
        if status == HTTPStatus.NO_CONTENT:
            return {}
        if answer.ok and isinstance(content, dict):
            return content
        correlation_id = answer.headers.get(CORRELATION_HEADER, "none")
        logger().warning("platform_refused", path=path, status=status, correlation_id=correlation_id)
        delay = read_retry_after(answer.headers.get("Retry-After"), datetime.now(UTC))
        reason = f"{status} (inin-correlation-id {correlation_id})"
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            if self._budget is not None:
                self._budget.pause(delay)
            raise PlatformBusyError(reason, delay=delay)
        if answer.ok or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise PlatformUnavailableError(reason, delay=delay, may_have_arrived=True)
        # The platform's message is left out, because it may quote the request.
        code = content.get("code", "without a code") if isinstance(content, dict) else "without a code"
        raise PlatformRefusedError(status, str(code)[:100], correlation_id)


def read_retry_after(header: str | None, now: datetime) -> float:
    """Return the seconds that a Retry-After header requests, as a number or a date, within limits."""
    seconds = parse_retry_after(header, now)
    return RETRY_SECONDS if seconds is None else min(max(seconds, 1.0), MAX_RETRY_AFTER)


def _is_unsent(error: requests.RequestException) -> bool:
    """Return whether no connection was established, so that nothing was sent."""
    cause = getattr(error.args[0], "reason", None) if error.args else None
    return isinstance(error, requests.ConnectTimeout) or isinstance(cause, NewConnectionError)


def _read_json(answer: requests.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return None
