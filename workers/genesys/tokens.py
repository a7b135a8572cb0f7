"""Get the platform's access token, and renew it before it expires."""

import os
import threading
import time
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
"""Much larger than a page of conversations or 200 messages."""

EARLY_SHARE: Final = 0.1
"""A token is renewed when a tenth of its life is left: the platform's tokens live minutes to days."""

RETRY_SECONDS: Final = 5.0
"""The delay after an answer without a Retry-After header."""

UNDECIDED: Final = (
    requests.RequestException,
    oauth2.MissingTokenError,
    oauth2.ServerError,
    oauth2.TemporarilyUnavailableError,
    # An "error" value that OAuth does not define, such as gateways send.
    CustomOAuth2Error,
    # JSON that is not an object.
    *(ValueError, TypeError, AttributeError),
)
"""Errors of the login service that do not show whether the credentials are valid."""

Http = TypeVar("Http", bound=requests.Session)


class Tokens:
    """The access token for the OAuth client's credentials. Several threads may use it."""

    def __init__(self, settings: GenesysSettings, request_seconds: float) -> None:
        if settings.login_url.startswith("http://"):
            # The settings allow this on the loopback interface only; oauthlib needs a permission of its own.
            os.environ.setdefault("OAUTHLIB_INSECURE_TRANSPORT", "1")
        self._url = f"{settings.login_url}/oauth/token"
        self._credentials = HTTPBasicAuth(settings.client_id, settings.client_secret)
        self._client_id = settings.client_id
        self._request_seconds = request_seconds
        self._lock = threading.Lock()
        self._token = ""
        self._renew_at = 0.0

    def current(self) -> str:
        """Return a valid token; blocks for seconds while it is being renewed."""
        with self._lock:
            if time.monotonic() >= self._renew_at:
                self._renew()
            return self._token

    def forget(self, token: str) -> None:
        """Renew *token*, which the platform refused, on the next use, unless it was renewed already."""
        with self._lock:
            if self._token == token:
                self._renew_at = 0.0

    def _renew(self) -> None:
        session = limit_session(
            OAuth2Session(client=oauth2.BackendApplicationClient(client_id=self._client_id))
        )
        session.register_compliance_hook("access_token_response", _check_status)
        try:
            answer = session.fetch_token(self._url, auth=self._credentials, timeout=self._request_seconds)
        except UNDECIDED as error:
            raise PlatformBusyError(f"login: {type(error).__name__}", delay=RETRY_SECONDS) from None
        except oauth2.OAuth2Error as error:
            code = error.error or "oauth"
            raise PlatformRefusedError(error.status_code, code, "none", at_login=True) from None
        self._token = str(answer["access_token"])
        lifetime = float(answer.get("expires_in", 300.0))
        self._renew_at = time.monotonic() + lifetime * (1 - EARLY_SHARE)


def limit_session(session: Http) -> Http:
    """Give each request of a session one deadline, limit its answer, and follow no redirect."""
    for scheme in ("http://", "https://"):
        session.mount(scheme, DeadlineAdapter(max_answer_bytes=MAX_ANSWER_BYTES))
    # oauthlib's session has no option per request. A redirect would send the credentials elsewhere.
    session.max_redirects = 0
    return session


def _check_status(response: requests.Response) -> requests.Response:
    """Raise PlatformBusyError if the service fails or is overloaded: oauthlib itself ignores the status."""
    status = response.status_code
    if status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise PlatformBusyError(f"login: {status}", delay=RETRY_SECONDS)
    return response
