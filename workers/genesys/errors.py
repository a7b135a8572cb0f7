"""Errors of the platform's API."""

from http import HTTPStatus

from messaging.errors import OpenMessagingError, RetryLaterError


class PlatformUnavailableError(RetryLaterError):
    """The platform did not respond or accepts no requests now: retry after the delay, and assume nothing.

    If the request may have arrived, do not retry a request that must not be carried out twice.
    """

    def __init__(self, reason: str, *, delay: float = 1.0, may_have_arrived: bool = False) -> None:
        super().__init__(reason, delay=delay)
        self.may_have_arrived = may_have_arrived


class PlatformBusyError(PlatformUnavailableError):
    """The limit is reached or the login service is away; nothing was done. Wait for the delay to end."""


class PlatformRefusedError(OpenMessagingError):
    """The platform refused the request, and will refuse it again: an operator has to act.

    The platform's support asks for *correlation_id*. If *at_login* is set, the login service refused our
    credentials, whatever the request was.
    """

    def __init__(self, status: int, code: str, correlation_id: str, *, at_login: bool = False) -> None:
        super().__init__(f"the platform answered {status} {code} (inin-correlation-id {correlation_id})")
        self.status = status
        self.at_login = at_login

    @property
    def is_of_credentials(self) -> bool:
        """Whether our credentials are refused, whatever is requested."""
        return self.at_login or self.status == HTTPStatus.UNAUTHORIZED

    @property
    def is_forbidden(self) -> bool:
        """Whether a permission is missing: requests that need another one may continue."""
        return self.status == HTTPStatus.FORBIDDEN and not self.at_login

    @property
    def is_of_no_conversation(self) -> bool:
        """Whether the platform has no conversation of that id, or rejects the id as malformed."""
        return self.status in {HTTPStatus.NOT_FOUND, HTTPStatus.BAD_REQUEST} and not self.at_login
