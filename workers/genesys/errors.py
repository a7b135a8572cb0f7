"""Define the errors that a call to the platform's API can raise."""

from http import HTTPStatus

from messaging.errors import OpenMessagingError, RetryLaterError


class PlatformUnavailableError(RetryLaterError):
    """Retry after the delay, because the platform did not respond or is accepting no requests for now.

    If *may_have_arrived* is true, do not retry a request that must not be carried out twice.
    """

    def __init__(self, reason: str, *, delay: float = 1.0, may_have_arrived: bool = False) -> None:
        super().__init__(reason, delay=delay)
        self.may_have_arrived = may_have_arrived


class PlatformBusyError(PlatformUnavailableError):
    """Wait for the delay: the request limit is reached or the login service is away. Nothing was changed."""


class PlatformRefusedError(OpenMessagingError):
    """Do not retry: the platform refused the request, and would refuse it again until an operator acts.

    The platform's support needs *correlation_id*. If *at_login* is true, the login service refused our
    credentials, so every other request would fail too.
    """

    def __init__(self, status: int, code: str, correlation_id: str, *, at_login: bool = False) -> None:
        super().__init__(f"the platform answered {status} {code} (inin-correlation-id {correlation_id})")
        self.status = status
        self.at_login = at_login

    @property
    def is_of_credentials(self) -> bool:
        """Whether the platform refuses our credentials, which would make every request fail."""
        return self.at_login or self.status == HTTPStatus.UNAUTHORIZED

    @property
    def is_forbidden(self) -> bool:
        """Whether a permission is missing; requests that need other permissions might succeed."""
        return self.status == HTTPStatus.FORBIDDEN and not self.at_login

    @property
    def is_of_no_conversation(self) -> bool:
        """Whether the platform has no conversation with the requested id, or rejects the id as malformed."""
        return self.status in {HTTPStatus.NOT_FOUND, HTTPStatus.BAD_REQUEST} and not self.at_login
