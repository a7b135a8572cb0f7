"""A header that requests must carry is found under the key that WSGI gives it, whatever its name."""

import pytest

from webhook_api.routes import BUS_PATH, WEBHOOK_PATH

HEADERS = {
    "X-Webhook-Source": ("HTTP_X_WEBHOOK_SOURCE", "genesys-cloud"),
    "Content-Type": ("CONTENT_TYPE", "application/json"),
    "content-length": ("CONTENT_LENGTH", "2"),
}


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize(
    ("setting", "path"), [("OM_REQUIRED_HEADERS", WEBHOOK_PATH), ("OM_EVENTS_HEADERS", BUS_PATH)]
)
def test_a_request_with_the_header_is_let_in_and_one_with_another_value_is_not(
    make_stand, setting, path, name
):
    key, value = HEADERS[name]
    right, wrong = (make_stand(**{setting: f"{name}={required}"}) for required in (value, "else"))

    answers = [stand.post(PATH_INFO=path, **{key: value}) for stand in (right, wrong)]

    assert [answer.status[:3] for answer in answers] == ["200", "401"]
