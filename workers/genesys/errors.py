"""Name what the platform may answer instead of what it was asked for."""

from __future__ import annotations

from http import HTTPStatus

from messaging.errors import OpenMessagingError, RetryLaterError


class PlatformUnavailableError(RetryLaterError):
    """The platform did not answer, or has no room for us now: ask again after the delay, guess nothing.

    Args:
        reason: What happened, with the platform's correlation id where it gave one.
        delay: Seconds to wait before the next request.
        may_have_arrived: Whether the platform may have done what it was asked: nothing that must not be done
            twice is asked again then.
    """

    def __init__(self, reason: str, *, delay: float = 1.0, may_have_arrived: bool = False) -> None:
        super().__init__(reason, delay=delay)
        self.may_have_arrived = may_have_arrived


class PlatformBusyError(PlatformUnavailableError):
    """The limit is reached, or the login is away: nothing was done. Ask nothing before the delay is over."""


class PlatformRefusedError(OpenMessagingError):
    """The platform answered no, and will answer no again: a person has to look.

    Args:
        status: The HTTP status.
        code: The platform's own word for it, such as "not.found".
        correlation_id: What the platform's support asks for.
        at_login: Whether it was the login service, which knows nothing of what was asked for.
    """

    def __init__(self, status: int, code: str, correlation_id: str, *, at_login: bool = False) -> None:
        super().__init__(f"the platform answered {status} {code} (inin-correlation-id {correlation_id})")
        self.status = status
        self.code = code
        self.correlation_id = correlation_id
        self.at_login = at_login

    @property
    def is_of_credentials(self) -> bool:
        """Whether we ourselves are refused, whatever is asked for."""
        return self.at_login or self.status == HTTPStatus.UNAUTHORIZED

    @property
    def is_forbidden(self) -> bool:
        """Whether a permission is missing: what needs another one may go on."""
        return self.status == HTTPStatus.FORBIDDEN and not self.at_login

    @property
    def is_of_no_conversation(self) -> bool:
        """Whether the platform has none of that id, or takes the id for none of its own."""
        return self.status in {HTTPStatus.NOT_FOUND, HTTPStatus.BAD_REQUEST} and not self.at_login
