"""Call the platform's API within the request budget; a request that changes something is never repeated."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

import requests
from sqlalchemy import Engine
from urllib3.exceptions import NewConnectionError

from messaging.clock import Clock
from messaging.log import logger
from workers.genesys.budget import MAX_PAUSE_SECONDS, RequestBudget
from workers.genesys.errors import PlatformBusyError, PlatformRefusedError, PlatformUnavailableError
from workers.genesys.settings import GenesysSettings
from workers.genesys.tokens import RETRY_SECONDS, Tokens, describe, limit_session
from workers.http_deadline import parse_retry_after

REQUEST_SECONDS: Final = 15.0
"""Time limit for a whole request, from connecting to the end of the response."""


@dataclass(slots=True, eq=False)
class GenesysClient:
    """Calls the platform's API. Several threads may use a client. Each method can block for several seconds.

    The methods raise PlatformUnavailableError if the platform is away, busy or failing (retry later), and
    PlatformRefusedError if it refuses the request. *budget* may be None if no other process shares the limit.
    """

    settings: GenesysSettings
    budget: RequestBudget | None
    request_seconds: float = REQUEST_SECONDS
    _tokens: Tokens = field(init=False)
    # The session's adapters do not retry requests on their own.
    _http: requests.Session = field(init=False)

    def __post_init__(self) -> None:
        self._tokens = Tokens(self.settings, self.request_seconds)
        self._http = limit_session(requests.Session())

    def get(self, path: str, **parameters: str) -> dict[str, Any]:
        """Return the object at *path*. If the token was revoked, renew it and repeat the request once."""
        return self._request("GET", path, is_repeatable=True, params=parameters)

    def query(self, path: str, content: Any) -> dict[str, Any]:
        """Send a POST that changes nothing. If the token was revoked, renew it and repeat the POST once."""
        return self._request("POST", path, is_repeatable=True, json=content)

    def send(self, method: str, path: str, content: Any = None) -> dict[str, Any]:
        """Send a request that changes something. A failed request is not repeated: it might have arrived."""
        return self._request(method, path, is_repeatable=False, json=content)

    def _request(self, method: str, path: str, *, is_repeatable: bool, **arguments: Any) -> dict[str, Any]:
        token = self._tokens.current()
        answer = self._send(method, path, token, **arguments)
        if answer.status_code == HTTPStatus.UNAUTHORIZED:
            self._tokens.forget(token)
            if is_repeatable:
                answer = self._send(method, path, self._tokens.current(), **arguments)
        return self._read(answer, path)

    def _send(self, method: str, path: str, token: str, **arguments: Any) -> requests.Response:
        if self.budget is not None:
            self.budget.take()
        try:
            return self._http.request(
                method,
                f"{self.settings.api_url}{path}",
                headers={"Authorization": f"Bearer {token}"},
                timeout=self.request_seconds,
                allow_redirects=False,
                **arguments,
            )
        except requests.RequestException as error:
            raise PlatformUnavailableError(
                f"the platform {describe(error)}", delay=RETRY_SECONDS, may_have_arrived=not _is_unsent(error)
            ) from None

    def _read(self, answer: requests.Response, path: str) -> dict[str, Any]:
        status = answer.status_code
        if status == HTTPStatus.NO_CONTENT:
            return {}
        try:
            content = answer.json()
        except ValueError:
            content = None
        if answer.ok and isinstance(content, dict):
            return content
        correlation_id = answer.headers.get("inin-correlation-id", "none")
        logger().warning("platform_refused", path=path, status=status, correlation_id=correlation_id)
        delay = read_retry_after(answer.headers.get("Retry-After"), datetime.now(UTC))
        reason = f"the platform answers {status} (inin-correlation-id {correlation_id})"
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            if self.budget is not None:
                self.budget.pause(delay)
            raise PlatformBusyError(reason, delay=delay)
        if answer.ok or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise PlatformUnavailableError(reason, delay=delay, may_have_arrived=True)
        # Leave out the platform's message, because it might quote the request.
        code = content.get("code", "without a code") if isinstance(content, dict) else "without a code"
        raise PlatformRefusedError(status, str(code)[:100], correlation_id)


def open_client(
    settings: GenesysSettings,
    engine: Engine,
    clock: Clock,
    *,
    is_background: bool = False,
    request_seconds: float = REQUEST_SECONDS,
) -> GenesysClient:
    """Return a client that uses the request budget of its OAuth client, which all hosts share."""
    name, limit = settings.client_id, settings.requests_per_minute
    budget = RequestBudget(engine, name, limit, clock, is_background=is_background)
    return GenesysClient(settings, budget, request_seconds)


def read_retry_after(header: str | None, now: datetime) -> float:
    """Return how many seconds a Retry-After header requests, within limits; RETRY_SECONDS if it is absent."""
    seconds = parse_retry_after(header, now)
    return RETRY_SECONDS if seconds is None else min(max(seconds, 1.0), MAX_PAUSE_SECONDS)


def _is_unsent(error: requests.RequestException) -> bool:
    """Return whether the request was definitely not sent, because no connection was established."""
    cause = getattr(error.args[0], "reason", None) if error.args else None
    return isinstance(error, requests.ConnectTimeout) or isinstance(cause, NewConnectionError)
