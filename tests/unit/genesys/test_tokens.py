"""An answer from the login service is a token, a refusal of the credentials or a temporary failure."""

import json

import pytest
import requests
from requests.adapters import HTTPAdapter

from workers.genesys import GenesysSettings, PlatformRefusedError, PlatformUnavailableError
from workers.genesys.tokens import Tokens

SETTINGS = GenesysSettings("https://api.example", "https://login.example", "client", "a-secret")
TOKEN = json.dumps({"access_token": "a-token", "token_type": "bearer", "expires_in": 60})
PAGE = "<html><body>Service Temporarily Unavailable</body></html>"


@pytest.fixture
def log_in(monkeypatch):
    """Return a function that requests a token from a login service with the given answer."""

    def ask(status, body):
        def send(_adapter, request, **_options):
            response = requests.Response()
            response.status_code, response.request, response._content = status, request, body.encode()
            return response

        monkeypatch.setattr(HTTPAdapter, "send", send)
        return Tokens(SETTINGS, 15.0).current()

    return ask


def test_the_access_token_is_returned(log_in):
    assert log_in(200, TOKEN) == "a-token"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (429, '{"error": "invalid_request"}'),
        (500, PAGE),
        (503, TOKEN),
        (400, '{"error": "server_error"}'),
        (400, '{"error": "temporarily_unavailable"}'),
        (404, '{"status": 404, "error": "Not Found", "path": "/a-token"}'),
        (403, '{"error": {"code": 403, "message": "a-token"}}'),
        (400, '{"error": "a-token"}'),
        (400, '{"error": null}'),
        (200, PAGE),
        (200, "{}"),
        (200, "null"),
        (200, "[1]"),
        (200, "7"),
    ],
)
def test_a_failing_login_service_is_not_reported_as_refused_credentials(log_in, status, body):
    with pytest.raises(PlatformUnavailableError, match="login") as told:
        log_in(status, body)
    assert not told.value.may_have_arrived
    assert "a-token" not in str(told.value)


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (400, "invalid_client"),
        (401, "invalid_client"),
        (400, "unauthorized_client"),
        (403, "insufficient_scope"),
    ],
)
def test_refused_credentials_are_not_reported_as_a_missing_permission(log_in, status, word):
    with pytest.raises(PlatformRefusedError, match=word) as refused:
        log_in(status, json.dumps({"error": word}))
    assert (refused.value.is_of_credentials, refused.value.is_forbidden) == (True, False)
