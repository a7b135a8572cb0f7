"""Get the platform's access token, renewed before it runs out, by one caller at a time."""

from __future__ import annotations

import os
import threading
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, TypeVar

import requests
from oauthlib.oauth2 import (
    BackendApplicationClient,
    MissingTokenError,
    OAuth2Error,
    ServerError,
    TemporarilyUnavailableError,
)
from oauthlib.oauth2.rfc6749.errors import CustomOAuth2Error
from requests.auth import HTTPBasicAuth
from requests_oauthlib import OAuth2Session

from workers.genesys.errors import PlatformBusyError, PlatformRefusedError
from workers.http_deadline import DeadlineAdapter

if TYPE_CHECKING:
    from workers.genesys.settings import GenesysSettings

REQUEST_SECONDS: Final = 15.0
"""For a whole request, from the connection to the end of its answer."""

MAX_ANSWER_BYTES: Final = 16 * 1024 * 1024
"""Far above a page of conversations, or 200 messages."""

EARLY_SHARE: Final = 0.1
"""Renew when a tenth of a token's life is left: the platform's lives are minutes to days."""

RETRY_SECONDS: Final = 5.0


Http = TypeVar("Http", bound=requests.Session)


class Tokens:
    """The access token of the OAuth client's credentials.

    Args:
        settings: Who we are, and where to log in.
    """

    def __init__(self, settings: GenesysSettings) -> None:
        if settings.login_url.startswith("http://"):
            # Only this very host is allowed to be without TLS (settings.py); oauthlib wants to be told.
            os.environ.setdefault("OAUTHLIB_INSECURE_TRANSPORT", "1")
        self._url = f"{settings.login_url}/oauth/token"
        self._credentials = HTTPBasicAuth(settings.client_id, settings.client_secret)
        self._client_id = settings.client_id
        self._lock = threading.Lock()
        self._token = ""
        self._renew_at = 0.0

    def current(self) -> str:
        """Return a token that is still good; blocks for seconds while it is being renewed.

        Raises:
            PlatformRefusedError: The credentials are wrong.
            PlatformBusyError: The login service is away, or gave no answer about them: nothing can be asked.
        """
        with self._lock:
            if time.monotonic() >= self._renew_at:
                self._renew()
            return self._token

    def forget(self, token: str) -> None:
        """Get another one next time, unless that has happened already: the platform refused *token*."""
        with self._lock:
            if self._token == token:
                self._renew_at = 0.0

    def _renew(self) -> None:
        session = limited(OAuth2Session(client=BackendApplicationClient(client_id=self._client_id)))
        session.register_compliance_hook("access_token_response", _answered)
        try:
            answer = session.fetch_token(self._url, auth=self._credentials, timeout=REQUEST_SECONDS)
        except (MissingTokenError, ServerError, TemporarilyUnavailableError) as error:
            raise PlatformBusyError(f"login: {error.error}", delay=RETRY_SECONDS) from None
        except (
            CustomOAuth2Error,
            requests.RequestException,
            ValueError,
            TypeError,
            AttributeError,
        ) as error:
            # oauthlib has the first of an "error" that is no word of OAuth's, as gateways have one, and the
            # last two of JSON that is no object.
            raise PlatformBusyError(f"login: {type(error).__name__}", delay=RETRY_SECONDS) from None
        except OAuth2Error as error:
            code = error.error or "oauth"
            raise PlatformRefusedError(error.status_code, code, "none", at_login=True) from None
        self._token = str(answer["access_token"])
        lifetime = float(answer.get("expires_in", 300.0))
        self._renew_at = time.monotonic() + lifetime * (1 - EARLY_SHARE)


def limited(session: Http) -> Http:
    """Give each request of a session one deadline, limit its answer, and have it follow no redirect."""
    for scheme in ("http://", "https://"):
        session.mount(scheme, DeadlineAdapter(max_answer_bytes=MAX_ANSWER_BYTES))
    # oauthlib's session cannot be told at each request. A redirect would take the credentials elsewhere.
    session.max_redirects = 0
    return session


def _answered(response: requests.Response) -> requests.Response:
    """Return an answer of the login service; oauthlib reads its body alone, and makes 400 of what it lacks.

    Raises:
        PlatformBusyError: It says that it fails, or has no room: nothing of the credentials.
    """
    status = response.status_code
    if status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise PlatformBusyError(f"login: {status}", delay=RETRY_SECONDS)
    return response
