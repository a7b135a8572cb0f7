"""The real edge and worker process every documented or observed body of the platform as expected.

Source: tests/payloads/README.md names the source of each body.
"""

from pathlib import Path

import pytest
import requests

from tests.services import SECRET, SIGNATURE, SIGNED

PAYLOADS = Path(__file__).parents[1] / "payloads"
STORED = {
    "genesys/text": ("openmessaging:conversation:message", "processed", None),
    "genesys/attachment": ("openmessaging:conversation:message", "processed", None),
    "genesys/structured-quick-replies": ("openmessaging:conversation:message", "processed", None),
    "genesys/receipt-failed": ("openmessaging:receipt", "processed", None),
    "genesys/receipt-published": ("openmessaging:receipt", "processed", None),
    "eventbridge/customer-start": ("openmessaging:conversation:new", "processed", None),
    "eventbridge/acd-end": ("openmessaging:conversation:updated", "processed", None),
    "eventbridge/customer-start-chat": ("openmessaging:conversation:new", "skipped", "other_medium"),
    "guide/conversation-new": ("openmessaging:conversation:new", "processed", None),
    "guide/conversation-message": ("openmessaging:conversation:message", "processed", None),
    "guide/conversation-updated": ("openmessaging:conversation:updated", "processed", None),
}
COUNTED = ["genesys/typing"]


def body_of(name):
    return (PAYLOADS / f"{name}.json").read_bytes()


def test_the_test_expects_an_outcome_for_every_payload_file():
    there = {str(path.relative_to(PAYLOADS).with_suffix("")) for path in PAYLOADS.rglob("*.json")}
    assert there == {*STORED, *COUNTED}


def test_a_body_with_a_precomputed_signature_is_accepted_and_its_text_is_stored(whole_service):
    assert SECRET == "constructed-secret-0123456789"
    answer = requests.post(
        whole_service.edge.url, data=SIGNED, headers={"X-Hub-Signature-256": SIGNATURE}, timeout=10
    )
    assert answer.status_code == 200
    event = whole_service.event_of(SIGNED)
    [row] = whole_service.rows("SELECT text FROM conversation_messages WHERE event_id = :id", id=event["id"])
    assert row["text"] == "Hi 👋"


@pytest.mark.parametrize("name", sorted(STORED.keys() - {"genesys/text"}))
def test_every_body_has_its_expected_outcome(whole_service, name):
    assert whole_service.send(body_of(name)) == 200
    event = whole_service.event_of(body_of(name))
    assert (event["event_type"], event["outcome"], event["reason"]) == STORED[name]
    assert not whole_service.rows("SELECT name FROM drift")


@pytest.mark.parametrize("name", COUNTED)
def test_a_typing_indicator_is_counted_but_not_stored(whole_service, name):
    assert whole_service.send(body_of(name)) == 200
    [row] = whole_service.wait_for("SELECT events FROM unstored_events")
    assert row["events"] == 1
    assert not whole_service.rows("SELECT * FROM processed_events WHERE event_type LIKE '%typing'")
