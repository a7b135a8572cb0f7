import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from workers.deliver.failed_receipts import parse_failed_message

TEXT = json.loads((Path(__file__).parents[2] / "payloads" / "genesys" / "text.json").read_text())


def parse(**changes):
    return parse_failed_message(json.dumps(TEXT | changes).encode())


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
def test_a_body_without_an_agents_message_has_none(changes):
    assert parse(**changes) is None


@pytest.mark.parametrize("body", [b"", b"[]", b'{"eventType":"x"}'])
def test_a_body_of_another_kind_has_none(body):
    assert parse_failed_message(body) is None


@pytest.mark.parametrize(
    ("status", "reason", "code"),
    [
        (422, "422", "GeneralError"),
        (429, "429", "RateLimited"),
        (503, "503", "ServerError"),
        (None, None, "ServerError"),
    ],
)
def test_the_receipt_has_the_platforms_code_of_the_reason(status, reason, code):
    receipt = parse().make_receipt(status, reason, datetime(2025, 6, 10, 21, 3, 5, 427_123, tzinfo=UTC))

    assert [given["code"] for given in receipt["reasons"]] == [code]
    assert receipt["channel"]["time"] == "2025-06-10T21:03:05.427Z"


def test_the_recipients_name_does_not_go_back():
    channel = TEXT["channel"] | {"to": {"id": "c", "idType": "Email", "nickname": "Jane"}}

    assert parse(channel=channel).make_receipt(422, "422", datetime.now(tz=UTC))["channel"]["to"] == {
        "id": "c",
        "idType": "Email",
    }


def test_an_integration_id_cannot_change_the_path():
    assert parse(channel=TEXT["channel"] | {"id": "../x"}).path.startswith(
        "/api/v2/conversations/messages/..%2Fx/"
    )
