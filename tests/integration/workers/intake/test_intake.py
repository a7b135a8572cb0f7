"""Intake writes the rows of a batch, on PostgreSQL and on SQLite."""

import hashlib
import json

import pytest

from tests.integration.workers.consuming import processor
from tests.integration.workers.events import deliver, event, payload_of, routed, said
from workers.parsing import read_body

OUTCOMES = "SELECT event_type, outcome, reason FROM processed_events ORDER BY occurred_at, id"


def test_each_kind_of_event_has_its_effect(intake, query):
    rejected = intake(
        deliver(event("new")), deliver(said("Hello", after_ms=5)), deliver(routed("QUEUED", after_ms=9))
    )
    assert rejected == frozenset()
    assert query("SELECT status, event_count, message_count FROM conversations") == [("started", 3, 1)]
    assert query("SELECT text FROM conversation_messages") == [("Hello",)]
    assert query("SELECT routing_status, routing_queue FROM routing_updates") == [
        ("CONTACT-QUEUED", "queue-1")
    ]


def test_an_event_is_stored_with_its_request_id_unless_the_id_cannot_be_stored(intake, query):
    for after_ms, request_id in enumerate(("0f3c", "nul \0", "x" * 129, "")):
        intake(deliver(said("Hello", after_ms=after_ms), request_id=request_id))
    assert query("SELECT request_id FROM events_v1 ORDER BY id") == [("0f3c",), (None,), (None,), (None,)]


def test_an_events_time_is_stored_to_the_microsecond(intake, query):
    intake(deliver(said("Hello") | {"timestamp": "2024-05-15T16:32:10.123456+02:00"}))
    [(occurred_at,)] = query("SELECT occurred_at FROM processed_events")
    assert str(occurred_at)[:26] == "2024-05-15 14:32:10.123456"


def test_an_update_without_a_transition_is_recorded_as_skipped(intake, query):
    intake(deliver(event("updated", attributes={"whisperNote": "x"})), deliver(routed("PARKED", after_ms=1)))
    assert query(OUTCOMES) == [
        ("openmessaging:conversation:updated", "skipped", "no_routing_status"),
        ("openmessaging:conversation:updated", "skipped", "no_transition"),
    ]
    assert query("SELECT * FROM routing_updates") == []


def test_a_conversation_has_the_times_of_its_earliest_and_latest_event_in_any_order_of_arrival(intake, query):
    intake(deliver(said("b", after_ms=50)))
    intake(deliver(said("c", after_ms=90)), deliver(said("a", after_ms=10)))
    [(first, last)] = query("SELECT first_event_at, last_event_at FROM conversations")
    assert str(first)[17:23] == "10.010"
    assert str(last)[17:23] == "10.090"


def test_receipts_are_recorded_and_typing_indicators_are_skipped(intake, query):
    names = ("genesys/text", "genesys/receipt-published", "genesys/typing")
    failed = payload_of("genesys/receipt-failed")
    intake(*[deliver(payload_of(name)) for name in names], deliver(failed))
    [(_, _, reasons), (published, is_final, _)] = query(
        "SELECT status, is_final, reasons FROM message_receipts ORDER BY status"
    )
    assert (published, bool(is_final), json.loads(reasons)) == ("Published", True, failed["reasons"])
    assert ("openmessaging:typing", "skipped", "typing") in query(OUTCOMES)


def test_an_event_that_crashes_the_parser_does_not_delay_its_batch(engine, handlers, query, monkeypatch):
    def read(body, *arguments):
        if b'"bad"' in body:
            raise ZeroDivisionError
        return read_body(body, *arguments)

    monkeypatch.setattr("workers.intake.reading.read_body", read)
    rejected = processor(engine, handlers)(*[deliver(said(words)) for words in ("a", "bad", "c")])
    assert len(rejected) == 1
    assert query("SELECT code, reason FROM dead_letters") == [
        ("handler_failed", "event: raised ZeroDivisionError")
    ]
    assert query("SELECT count(*) FROM processed_events") == [(2,)]


def test_text_in_any_script_and_with_any_quotes_is_stored_unchanged(intake, query):
    words = 'It\'s "quoted" \\ back\tslash, {braces} %s :name ? \N{WAVING HAND SIGN} العربية'
    intake(deliver(said(words)))
    assert query("SELECT text FROM conversation_messages") == [(words,)]


@pytest.mark.parametrize("name", ["__proto__", "a'; DROP TABLE drift; --", "x" * 255, "é" * 255])
def test_a_conversation_id_with_special_characters_is_stored_unchanged(intake, query, name):
    intake(deliver(said("a", conversation=name)))
    assert query("SELECT conversation_id FROM conversations") == [(name,)]


@pytest.mark.parametrize("message_id", ["\x00", "a\x00b", "\n"])
def test_a_message_id_that_cannot_be_stored_does_not_delay_its_event(intake, query, message_id):
    good = deliver(said("a"), message_id=message_id)
    bad = deliver(b"{", message_id=message_id)
    assert intake(good, bad) == {bad.tag}
    assert query("SELECT message_id FROM dead_letters") == [(hashlib.sha256(b"{").hexdigest(),)]
    assert query("SELECT message_count FROM conversations") == [(1,)]


def test_every_processed_body_is_kept_byte_for_byte(intake, query):
    """Guarantee 4.5."""
    bodies = [
        json.dumps(said("a"), indent=3).encode(),
        json.dumps(payload_of("genesys/receipt-failed"), ensure_ascii=False).encode(),
        '{ "note":"\\u0000 \\ud800 é",'.encode() + json.dumps(event("new", after_ms=3)).encode()[1:] + b"\n",
    ]
    intake(*[deliver(body) for body in bodies])
    kept = query(
        "SELECT body FROM event_payloads JOIN processed_events ON id = event_id ORDER BY occurred_at"
    )
    assert sorted(bytes(body) for (body,) in kept) == sorted(bodies)


KINDS = {"events": [{"eventType": "Typing"}, {"eventType": "Presence"}]}


def test_a_kind_in_a_list_of_events_reaches_the_integrators_handler(engine, handlers, query):
    given = []
    handlers["openmessaging:event:presence"] = (lambda _connection, events, _now_us: given.extend(events),)
    processor(engine, handlers)(deliver(payload_of("genesys/typing") | KINDS))
    assert [each.event.payload["events"] for each in given] == [KINDS["events"]]
