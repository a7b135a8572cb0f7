"""A ledger is settled with real tables."""

from datetime import UTC, datetime
from hashlib import sha256

import pytest
from sqlalchemy import insert, update

from simulator.ledger import LedgerRow
from simulator.settlement import read_records, settle
from workers.db.engine import make_engine
from workers.db.models import (
    conversation_messages,
    conversations,
    dead_letters,
    duplicate_events,
    event_payloads,
    metadata,
    processed_events,
)
from workers.intake import FILTERED
from workers.parsing.events import CONVERSATION_MESSAGE, CONVERSATION_NEW

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def body(number):
    return b"body %d" % number


def digest(number):
    return sha256(body(number)).digest()


def sent(number, event):
    return LedgerRow(digest(number).hex(), event, "message", 200, 1, answered=True)


LEDGER = [sent(1, 1), sent(2, 2), sent(3, None)]


@pytest.fixture
def engine(database_url):
    engine = make_engine(database_url)
    metadata.create_all(engine)
    with engine.begin() as connection:
        fill(connection)
    yield engine
    engine.dispose()


def fill(connection):
    """Two events of one conversation took effect, one body is a dead letter."""
    for number, event_type in ((1, CONVERSATION_NEW), (2, CONVERSATION_MESSAGE)):
        row = {
            "id": number,
            "idempotency_key": f"key-{number}",
            "conversation_id": "c",
            "event_type": event_type,
            "outcome": "processed",
            "message_id": f"m-{number}",
            "source": "webhook",
            "dialect": "guide",
            "body_sha256": digest(number),
        }
        moments = dict.fromkeys(("occurred_at", "received_at", "processed_at"), NOW)
        connection.execute(insert(processed_events).values(**row, **moments))
        connection.execute(insert(event_payloads).values(event_id=number, stored_at=NOW, body=body(number)))
    moments = dict.fromkeys(("first_event_at", "last_event_at", "updated_at"), NOW)
    counts = {"event_count": 2, "message_count": 1, "routing_sequence": 0}
    connection.execute(
        insert(conversations).values(conversation_id="c", status="started", **counts, **moments)
    )
    message = {"event_id": 2, "conversation_id": "c", "occurred_at": NOW, "sequence": 0, "received_at": NOW}
    connection.execute(insert(conversation_messages).values(**message))
    record = {
        "message_id": "m-3",
        "code": "not_json",
        "reason": "body",
        "body_sha256": digest(3),
        "attempts": 1,
    }
    moments = {"source": "webhook", "received_at": NOW, "recorded_at": NOW}
    connection.execute(insert(dead_letters).values(**record, **moments))


def verdict(engine, ledger=LEDGER):
    with engine.connect() as connection:
        records = read_records(connection, {row.body_sha256 for row in ledger})
    return settle(ledger, records, queued=[digest(3).hex()])


def test_what_took_effect_once_is_clean(engine):
    found = verdict(engine)
    assert (found.unique, found.processed, found.dead_lettered) == (3, 2, 1)
    assert (found.lost, found.repeated) == (0, 0)


def test_a_counter_that_was_incremented_twice_is_a_repeated_effect(engine):
    with engine.begin() as connection:
        connection.execute(update(conversations).values(message_count=2))
    assert (verdict(engine).repeated, verdict(engine).lost) == (1, 0)


def test_a_missing_message_row_is_a_lost_effect(engine):
    with engine.begin() as connection:
        connection.execute(conversation_messages.delete())
    assert (verdict(engine).repeated, verdict(engine).lost) == (0, 1)


def test_what_the_filter_held_back_is_no_lost_effect(engine):
    with engine.begin() as connection:
        connection.execute(update(processed_events).values(outcome="skipped", reason=FILTERED))
        connection.execute(conversation_messages.delete())
        connection.execute(conversations.delete())
    found = verdict(engine)
    assert (found.skipped, found.lost) == (2, 0)


def test_an_answered_event_without_a_row_is_lost(engine):
    assert verdict(engine, [*LEDGER, sent(4, 4)]).lost == 1


def test_another_content_of_a_known_event_is_a_conflict_and_no_loss(engine):
    conflict = {
        "event_id": 2,
        "body_sha256": digest(5),
        "idempotency_key": "key-2",
        "body": body(5),
        "message_id": "m-5",
        "source": "webhook",
        "deliveries": 1,
    }
    with engine.begin() as connection:
        moments = dict.fromkeys(("first_seen_at", "last_seen_at"), NOW)
        connection.execute(insert(duplicate_events).values(**conflict, **moments))
    found = verdict(engine, [*LEDGER, sent(5, 2)])
    assert found.conflicts == 1
    assert (found.lost, found.repeated) == (0, 0)


def test_a_body_that_is_not_stored_as_it_came_is_lost(engine):
    with engine.begin() as connection:
        connection.execute(update(event_payloads).where(event_payloads.c.event_id == 2).values(body=b"other"))
    assert verdict(engine).lost == 1
