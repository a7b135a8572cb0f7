"""A signed body that cannot be processed gets a 200 and becomes a dead letter that delays no event."""

import json
from uuid import uuid4

import pytest

from messaging.admin import broker_session, peek
from messaging.topology import DEAD_LETTERS
from tests.integration.workers.events import said
from tests.waiting import wait_until


def _body(**changes):
    event = said("Good day", conversation=str(uuid4())) | changes
    return json.dumps({name: value for name, value in event.items() if value is not ...}).encode()


def _with(raw):
    """Return the body of a valid event with an additional member, whose JSON value is *raw*."""
    return _body()[:-1] + b', "more": ' + raw + b"}"


# tests/unit/workers/test_json_body.py and test_refused_bodies.py have more bodies.
MALFORMED = {
    "bad UTF-8": (_with(b'"\xff"'), "not_utf8", "body"),
    "100,000 brackets": (_with(b"[" * 100_000 + b"]" * 100_000), "too_deep", "body"),
    "a second timestamp": (_body()[:-1] + b', "timestamp": 1}', "invalid_field", "timestamp"),
    "conversationId half a surrogate": (_body(conversationId="\ud800"), "invalid_field", "conversationId"),
    "conversationId with a NUL": (_body(conversationId="a\x00b"), "invalid_field", "conversationId"),
    "no conversationId": (_body(conversationId=...), "missing_field", "conversationId"),
    "an unknown eventType": (_body(eventType="openmessaging:gone"), "unknown_event_type", "eventType"),
}


def test_malformed_events_become_dead_letters_with_their_reasons_and_a_good_event_is_processed(whole_service):
    neighbour = _body()
    assert {whole_service.send(body) for body, _, _ in [*MALFORMED.values(), (neighbour, "", "")]} == {200}
    assert whole_service.event_of(neighbour)["outcome"] == "processed"
    for kind, (body, code, field) in MALFORMED.items():
        dead_letter = whole_service.dead_letter_of(body)
        assert dead_letter["code"] == code, kind
        assert dead_letter["reason"].startswith(field), kind
    bodies = {body for body, _, _ in MALFORMED.values()}
    # Intake commits the records before it rejects the events, and the broker then moves them.
    with broker_session((whole_service.amqp_url,), client_name="test") as connection:
        wait_until(lambda: bodies <= set(peek(connection, DEAD_LETTERS)))


WELL_FORMED = {
    "unknown fields": _body(whatIsNew={"deep": [1, 2]}, channel={"type": "custom", "colour": "red"}),
    "optional fields missing": _body(channel=..., message={"id": "m-1"}),
    "optional fields null": _body(channel=None, participants=None, metadata=None),
    "unknown enum values": _body(channel={"type": "carrier-pigeon"}),
    "10,000 digits": _with(b"7" * 10_000),
    "a number out of range": _with(b"1e999"),
    "a name twice": _with(b'{"a": 1, "a": 2}'),
    "a lone surrogate": _with(b'"\\ud800"'),
    "a NUL character": _with(b'"a\\u0000b"'),
}


@pytest.mark.parametrize("kind", WELL_FORMED)
def test_an_event_with_unknown_missing_or_odd_fields_is_processed(whole_service, kind):
    """Guarantee 4.1."""
    assert whole_service.send(WELL_FORMED[kind]) == 200
    assert whole_service.event_of(WELL_FORMED[kind])["outcome"] == "processed"


def test_the_logs_contain_neither_secrets_nor_message_texts(whole_service):
    token, text = f"token-{uuid4()}", f"text-{uuid4()}"
    good = _body(metadata={"customChannelToken": token}, message={"id": str(uuid4()), "text": text})
    bad = good[:-1]
    whole_service.send(good)
    whole_service.send(bad)
    whole_service.event_of(good)
    whole_service.dead_letter_of(bad)
    logs = whole_service.edge.log.read_text() + whole_service.worker.log.read_text()
    assert token not in logs
    assert text not in logs
    assert "constructed-secret" not in logs
