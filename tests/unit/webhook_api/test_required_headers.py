"""Required headers are checked under the keys that WSGI gives them, and may replace the signature."""

import pytest

from messaging.errors import ConfigurationError
from webhook_api.application import BUS_PATH, WEBHOOK_PATH

HEADERS = {
    "X-Webhook-Source": ("HTTP_X_WEBHOOK_SOURCE", "genesys-cloud-0123456789"),
    "Content-Type": ("CONTENT_TYPE", "application/json"),
    "content-length": ("CONTENT_LENGTH", "0000000000000002"),
}


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize(
    ("setting", "path"), [("OM_REQUIRED_HEADERS", WEBHOOK_PATH), ("OM_EVENTS_HEADERS", BUS_PATH)]
)
def test_a_request_is_accepted_only_with_the_required_header_value(make_stand, setting, path, name):
    key, value = HEADERS[name]
    right, wrong = (make_stand(**{setting: f"{name}={required}"}) for required in (value, "x" * len(value)))
    answers = [stand.post(PATH_INFO=path, **{key: value}) for stand in (right, wrong)]
    assert [answer.status[:3] for answer in answers] == ["200", "401"]


KEY = "constructed-header-secret"
GUIDE = {"HTTP_X_WEBHOOK_SOURCE": "genesys-cloud", "HTTP_X_CUSTOM_CHANNEL": KEY}
REQUIRED = f"X-Webhook-Source=genesys-cloud,X-Custom-Channel={KEY}"
UNSIGNED_ALLOWED = {"OM_ALLOW_UNSIGNED": "true"}
UNSIGNED = {"HTTP_X_HUB_SIGNATURE_256": None}
FORGED = {"HTTP_X_HUB_SIGNATURE_256": "sha256=" + "A" * 43 + "="}


BUS = f"X-Api-Key={KEY},Authorization=Basic {KEY}"


@pytest.mark.parametrize(
    ("body", "changes", "status"),
    [
        (b"{}", {"HTTP_X_API_KEY": KEY}, "200"),
        (b"{}", {"HTTP_AUTHORIZATION": f"Basic {KEY}"}, "200"),
        (b"{}", {}, "401"),
        (b"", {"HTTP_X_API_KEY": KEY}, "400"),
        (b"x" * 2049, {"HTTP_X_API_KEY": KEY}, "413"),
        (b"{}", {"HTTP_X_API_KEY": KEY, "PATH_INFO": WEBHOOK_PATH}, "401"),
    ],
)
def test_an_eventbridge_event_needs_one_of_the_configured_headers(make_stand, body, changes, status):
    stand = make_stand(OM_EVENTS_HEADERS=BUS)
    assert stand.post(body, **UNSIGNED | {"PATH_INFO": BUS_PATH} | changes).status[:3] == status


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize(
    ("settings", "changes", "status"),
    [
        # The guide's registration sends only headers.
        ({"OM_WEBHOOK_SECRETS": ""}, UNSIGNED | GUIDE, "200"),
        ({"OM_WEBHOOK_SECRETS": ""}, FORGED | GUIDE, "200"),
        ({"OM_WEBHOOK_SECRETS": ""}, GUIDE | {"HTTP_X_CUSTOM_CHANNEL": KEY[:-1]}, "401"),
        ({"OM_WEBHOOK_SECRETS": ""}, GUIDE | {"HTTP_X_CUSTOM_CHANNEL": None}, "401"),
        ({"OM_WEBHOOK_SECRETS": ""}, GUIDE | {"HTTP_X_WEBHOOK_SOURCE": "other"}, "401"),
        # A second registration signs its requests.
        ({}, UNSIGNED | GUIDE, "200"),
        ({}, GUIDE, "200"),
        ({}, FORGED | GUIDE, "401"),
        ({}, UNSIGNED, "401"),
        ({}, {}, "401"),
        # Without OM_ALLOW_UNSIGNED, headers do not replace a signature.
        ({"OM_ALLOW_UNSIGNED": "false"}, UNSIGNED | GUIDE, "401"),
    ],
)
def test_an_unsigned_request_needs_the_required_headers(make_stand, settings, changes, status, is_first):
    stand = make_stand(**UNSIGNED_ALLOWED | {"OM_REQUIRED_HEADERS": REQUIRED} | settings)
    if not is_first:
        stand.settle_path()
    assert stand.post(**changes).status[:3] == status


@pytest.mark.parametrize(
    ("settings", "variable"),
    [
        (UNSIGNED_ALLOWED, "OM_ALLOW_UNSIGNED"),
        (UNSIGNED_ALLOWED | {"OM_REQUIRED_HEADERS": "A=short,B=0123456789abcde"}, "OM_ALLOW_UNSIGNED"),
        (UNSIGNED_ALLOWED | {"OM_REQUIRED_HEADERS": "A=a", "OM_WEBHOOK_SECRETS": ""}, "OM_ALLOW_UNSIGNED"),
        ({"OM_WEBHOOK_SECRETS": "0123456789abcde"}, "OM_WEBHOOK_SECRETS"),
        ({"OM_WEBHOOK_SECRETS": f"{KEY},a"}, "OM_WEBHOOK_SECRETS"),
        ({"OM_EVENTS_HEADERS": f"A={KEY},B=0123456789abcde"}, "OM_EVENTS_HEADERS"),
    ],
)
def test_the_error_for_a_short_secret_names_the_setting_but_not_the_secret(make_stand, settings, variable):
    with pytest.raises(ConfigurationError, match=f"^{variable}") as refused:
        make_stand(**settings)
    assert "0123456789abcde" not in str(refused.value)


def test_the_repr_of_the_settings_hides_header_values(make_stand):
    stand = make_stand(OM_EVENTS_HEADERS=f"X-Api-Key={KEY}", OM_REQUIRED_HEADERS=f"X-Custom-Channel={KEY}")
    assert KEY not in repr(stand._edge.settings)
