"""Ask the platform's API: within the budget, each request within one deadline, and never a POST twice."""

from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Protocol

import requests
from urllib3.exceptions import NewConnectionError

from messaging.log import logger
from workers.genesys.errors import PlatformBusyError, PlatformRefusedError, PlatformUnavailableError
from workers.genesys.tokens import REQUEST_SECONDS, Tokens, limited
from workers.retry_after import seconds_asked

if TYPE_CHECKING:
    from workers.genesys.settings import GenesysSettings

CORRELATION_HEADER: Final = "inin-correlation-id"
RETRY_SECONDS: Final = 5.0
"""After an answer that says nothing of when to come again."""

LONGEST_RETRY_AFTER: Final = 120.0
"""The platform counts by minutes; a header that says more is not believed."""


class Budget(Protocol):
    """What a request is taken out of."""

    def take(self) -> None:
        """Take one request; raises PlatformBusyError if none is left."""

    def pause(self, seconds: float) -> None:
        """Let no caller ask anything for so long."""


class GenesysClient:
    """One process's way to the platform; may be used by several threads.

    Args:
        settings: Where the platform is, and who we are there.
        budget: Counts the requests of all hosts; None where nothing shares them.
    """

    def __init__(self, settings: GenesysSettings, budget: Budget | None) -> None:
        self._base = settings.api_url
        self._budget = budget
        self._tokens = Tokens(settings)
        # The adapters of requests repeat nothing by themselves.
        self._http = limited(requests.Session())

    def get(self, path: str, **parameters: str) -> dict[str, Any]:
        """Return what the platform has at *path*; blocks for seconds.

        A token that was revoked meanwhile is renewed once.

        Raises:
            PlatformUnavailableError: No answer, no room, or a failure of the platform's: ask again later.
            PlatformRefusedError: The platform answered no.
        """
        return self._ask("GET", path, is_repeatable=True, params=parameters)

    def query(self, path: str, content: Any) -> dict[str, Any]:
        """Ask by a POST that changes nothing, and so may be sent once more where a token was revoked.

        Raises:
            PlatformUnavailableError, PlatformRefusedError: As with `get`.
        """
        return self._ask("POST", path, is_repeatable=True, json=content)

    def post(self, path: str, content: dict[str, Any]) -> dict[str, Any]:
        """Send *content* to *path* once; whether it arrived is unknown where no answer came.

        Raises:
            PlatformUnavailableError, PlatformRefusedError: As with `get`.
        """
        return self._ask("POST", path, is_repeatable=False, json=content)

    def put(self, path: str, content: dict[str, Any]) -> dict[str, Any]:
        """Put *content* in the place of what is at *path*; repeating it does no harm.

        Raises:
            PlatformUnavailableError, PlatformRefusedError: As with `get`.
        """
        return self._ask("PUT", path, is_repeatable=False, json=content)

    def patch(self, path: str, content: dict[str, Any]) -> dict[str, Any]:
        """Change the fields of *content* at *path*; repeating it does no harm.

        Raises:
            PlatformUnavailableError, PlatformRefusedError: As with `get`.
        """
        return self._ask("PATCH", path, is_repeatable=False, json=content)

    def _ask(self, method: str, path: str, *, is_repeatable: bool, **arguments: Any) -> dict[str, Any]:
        token = self._tokens.current()
        answer = self._send(method, path, token, **arguments)
        if answer.status_code == HTTPStatus.UNAUTHORIZED:
            self._tokens.forget(token)
            if is_repeatable:
                answer = self._send(method, path, self._tokens.current(), **arguments)
        return self._content_of(answer, path)

    def _send(self, method: str, path: str, token: str, **arguments: Any) -> requests.Response:
        if self._budget is not None:
            self._budget.take()
        try:
            return self._http.request(
                method,
                f"{self._base}{path}",
                headers={"Authorization": f"Bearer {token}"},
                timeout=REQUEST_SECONDS,
                allow_redirects=False,
                **arguments,
            )
        except requests.RequestException as error:
            raise PlatformUnavailableError(
                type(error).__name__, delay=RETRY_SECONDS, may_have_arrived=not _never_left(error)
            ) from None

    def _content_of(self, answer: requests.Response, path: str) -> dict[str, Any]:
        correlation_id = answer.headers.get(CORRELATION_HEADER, "none")
        if answer.ok:
            try:
                content = answer.json()
            except ValueError:
                content = None
            if isinstance(content, dict):
                return content
        status = answer.status_code
        logger().warning("platform_refused", path=path, status=status, correlation_id=correlation_id)
        delay = retry_after(answer.headers.get("Retry-After"), datetime.now(UTC))
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            if self._budget is not None:
                self._budget.pause(delay)
            raise PlatformBusyError(f"429 (inin-correlation-id {correlation_id})", delay=delay)
        if answer.ok or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise PlatformUnavailableError(
                f"{status} (inin-correlation-id {correlation_id})",
                delay=delay,
                may_have_arrived=True,
            )
        raise PlatformRefusedError(status, _code_of(answer), correlation_id)


def retry_after(header: str | None, now: datetime) -> float:
    """Return the seconds that a Retry-After header asks for, within reason: a number or a date."""
    seconds = seconds_asked(header, now)
    return RETRY_SECONDS if seconds is None else min(max(seconds, 1.0), LONGEST_RETRY_AFTER)


def _never_left(error: requests.RequestException) -> bool:
    """Tell whether no connection came about at all: then nothing was asked."""
    cause = getattr(error.args[0], "reason", None) if error.args else None
    return isinstance(error, requests.ConnectTimeout) or isinstance(cause, NewConnectionError)


def _code_of(answer: requests.Response) -> str:
    """Return the platform's word for a refusal; its message may quote what was asked, and is left out."""
    try:
        code = answer.json()["code"]
    except (ValueError, KeyError, TypeError):
        return "without a code"
    return str(code)[:100]
