import json
from pathlib import Path

import pytest

from workers.deliver.failed_message import failed_message

TEXT = json.loads((Path(__file__).parents[2] / "payloads" / "genesys" / "text.json").read_text())


def message_of(**changes):
    return failed_message(json.dumps(TEXT | changes).encode())


@pytest.mark.parametrize(
    "changes",
    [
        {"direction": "Inbound"},
        {"type": "Receipt"},
        {"id": None},
        {"channel": {"id": "i", "to": {}}},
        {"channel": {"to": {"id": "c"}}},
    ],
)
def test_what_names_no_message_of_an_agent_is_none(changes):
    assert message_of(**changes) is None


@pytest.mark.parametrize("body", [b"", b"[]", b'{"eventType":"x"}'])
def test_another_body_is_none(body):
    assert failed_message(body) is None


@pytest.mark.parametrize(
    ("status", "reason", "code"),
    [
        (422, "422", "GeneralError"),
        (429, "429", "RateLimited"),
        (503, "503", "ServerError"),
        (None, None, "ServerError"),
    ],
)
def test_the_receipt_says_why_in_the_platforms_words(status, reason, code):
    receipt = message_of().receipt(status, reason, 1_749_589_385_427_123)

    assert [each["code"] for each in receipt["reasons"]] == [code]
    assert receipt["channel"]["time"] == "2025-06-10T21:03:05.427Z"


def test_the_recipients_name_does_not_go_back():
    channel = TEXT["channel"] | {"to": {"id": "c", "idType": "Email", "nickname": "Jane"}}

    assert message_of(channel=channel).receipt(422, "422", 0)["channel"]["to"] == {
        "id": "c",
        "idType": "Email",
    }


def test_an_integration_cannot_lead_elsewhere():
    assert message_of(channel=TEXT["channel"] | {"id": "../x"}).path.startswith(
        "/api/v2/conversations/messages/..%2Fx/"
    )
