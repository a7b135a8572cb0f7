"""Request an access token from the platform, and renew it before it expires."""

import os
import threading
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final, TypeVar

import requests
from oauthlib import oauth2
from oauthlib.oauth2.rfc6749.errors import CustomOAuth2Error
from requests.auth import HTTPBasicAuth
from requests_oauthlib import OAuth2Session

from workers.genesys.errors import PlatformBusyError, PlatformRefusedError
from workers.genesys.settings import GenesysSettings
from workers.http_deadline import DeadlineAdapter

MAX_ANSWER_BYTES: Final = 16 * 1024 * 1024
"""Largest answer accepted from the platform, far larger than a page of conversations or 200 messages."""

RETRY_SECONDS: Final = 5.0
"""Delay before a retry if there is no answer or the answer has no Retry-After header."""

UNDECIDED: Final = (
    requests.RequestException,
    oauth2.MissingTokenError,
    oauth2.ServerError,
    oauth2.TemporarilyUnavailableError,
    # The answer has an "error" value that OAuth does not define, for example one from a gateway.
    CustomOAuth2Error,
    # The answer is not JSON, or it is JSON but not an object.
    *(ValueError, TypeError, AttributeError),
)
"""Errors of the login service that do not show whether the credentials are valid."""

Http = TypeVar("Http", bound=requests.Session)


@dataclass(slots=True, eq=False)
class Tokens:
    """Requests and keeps the access token of our OAuth client. Several threads may use it."""

    settings: GenesysSettings
    request_seconds: float
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _token: str = field(default="", repr=False)
    _renew_at: float = 0.0

    def __post_init__(self) -> None:
        """Permit oauthlib to use http://; our settings allow http:// only on the loopback interface."""
        if self.settings.login_url.startswith("http://"):
            os.environ.setdefault("OAUTHLIB_INSECURE_TRANSPORT", "1")

    def current(self) -> str:
        """Return a valid token; this can take several seconds if the token must be renewed."""
        with self._lock:
            if time.monotonic() >= self._renew_at:
                self._renew()
            return self._token

    def forget(self, token: str) -> None:
        """Mark the refused *token* for renewal, unless it has already been renewed."""
        with self._lock:
            if self._token == token:
                self._renew_at = 0.0

    def _renew(self) -> None:
        settings = self.settings
        client = oauth2.BackendApplicationClient(client_id=settings.client_id)
        session = limit_session(OAuth2Session(client=client))
        session.register_compliance_hook("access_token_response", _check_status)
        try:
            answer = session.fetch_token(
                f"{settings.login_url}/oauth/token",
                auth=HTTPBasicAuth(settings.client_id, settings.client_secret),
                timeout=self.request_seconds,
            )
        except UNDECIDED as error:
            reason = f"the platform's login service {describe(error)}"
            raise PlatformBusyError(reason, delay=RETRY_SECONDS) from None
        except oauth2.OAuth2Error as error:
            code = error.error or "oauth"
            raise PlatformRefusedError(error.status_code, code, "none", at_login=True) from None
        self._token = str(answer["access_token"])
        lifetime = float(answer.get("expires_in", 300.0))
        # Renew a token when a tenth of its lifetime is left; lifetimes range from minutes to days.
        self._renew_at = time.monotonic() + 0.9 * lifetime


def describe(error: Exception) -> str:
    """Explain to operators why there is no usable answer; an error's own text might contain addresses."""
    if not isinstance(error, requests.Timeout | requests.ConnectionError):
        return "returned an unusable answer"
    state = "does not answer in time" if isinstance(error, requests.Timeout) else "cannot be reached"
    return f"{state}: check OM_GENESYS_REGION and the network"


def limit_session(session: Http) -> Http:
    """Give every request in a session an overall deadline, limit the response size, and refuse redirects."""
    for scheme in ("http://", "https://"):
        session.mount(scheme, DeadlineAdapter(max_answer_bytes=MAX_ANSWER_BYTES))
    # Limit the session, because oauthlib has no per-request option. A redirect would leak credentials.
    session.max_redirects = 0
    return session


def _check_status(response: requests.Response) -> requests.Response:
    """Raise PlatformBusyError if the login service fails or is overloaded; oauthlib ignores the status."""
    status = response.status_code
    if status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise PlatformBusyError(f"the platform's login service answers {status}", delay=RETRY_SECONDS)
    return response
