"""A sender's ledger is compared with real tables."""

from datetime import UTC, datetime
from hashlib import sha256

import pytest
from sqlalchemy import insert, update

from simulator.accounts import read_records, settle
from simulator.ledger import LedgerRow
from workers.db.engine import make_engine
from workers.db.models import (
    conversation_messages,
    conversations,
    dead_letters,
    event_conflicts,
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
    """Record two events of one conversation and one dead letter."""
    source = {"source": "webhook", "received_at": NOW}
    for number, event_type in ((1, CONVERSATION_NEW), (2, CONVERSATION_MESSAGE)):
        key = {"idempotency_key": f"key-{number}", "conversation_id": "c", "event_type": event_type}
        row = {
            "message_id": f"m-{number}",
            "dialect": "guide",
            "body_sha256": digest(number),
            **key,
            **source,
        }
        done = {"outcome": "processed", "occurred_at": NOW, "processed_at": NOW}
        connection.execute(insert(processed_events).values(id=number, **row, **done))
        connection.execute(insert(event_payloads).values(event_id=number, stored_at=NOW, body=body(number)))
    moments = dict.fromkeys(("first_event_at", "last_event_at", "updated_at"), NOW)
    counts = {"event_count": 2, "message_count": 1, "routing_sequence": 0}
    row = {"conversation_id": "c", "status": "started", **counts, **moments}
    connection.execute(insert(conversations).values(**row))
    message = {"event_id": 2, "conversation_id": "c", "occurred_at": NOW, "sequence": 0, "received_at": NOW}
    connection.execute(insert(conversation_messages).values(**message))
    reason = {"code": "not_json", "reason": "body", "attempts": 1, "recorded_at": NOW}
    dead = {"message_id": "m-3", "body_sha256": digest(3), **reason, **source}
    connection.execute(insert(dead_letters).values(**dead))


CONFLICT = {
    "event_id": 2,
    "body_sha256": digest(5),
    "idempotency_key": "key-2",
    "body": body(5),
    "message_id": "m-5",
    "source": "webhook",
    "times_received": 1,
    "first_seen_at": NOW,
    "last_seen_at": NOW,
}
CASES = {
    "everything took effect once": ([], (), {"unique": 3, "processed": 2, "dead_lettered": 1}),
    "a counter was incremented twice": ([update(conversations).values(message_count=2)], (), {"repeated": 1}),
    "a message's row is missing": ([conversation_messages.delete()], (), {"lost": 1}),
    "the event filter skipped the events": (
        [
            update(processed_events).values(outcome="skipped", reason=FILTERED),
            conversation_messages.delete(),
            conversations.delete(),
        ],
        (),
        {"skipped": 2},
    ),
    "an answered event has no row": ([], [sent(4, 4)], {"lost": 1}),
    "a known event came with other content": (
        [insert(event_conflicts).values(**CONFLICT)],
        [sent(5, 2)],
        {"conflicts": 1},
    ),
    "a stored body differs from the sent one": (
        [update(event_payloads).where(event_payloads.c.event_id == 2).values(body=b"other")],
        (),
        {"lost": 1},
    ),
}


@pytest.mark.parametrize(("statements", "more", "expected"), CASES.values(), ids=CASES)
def test_lost_and_repeated_effects_are_found_in_the_tables(engine, statements, more, expected):
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(statement)
    ledger = [*LEDGER, *more]
    with engine.connect() as connection:
        records = read_records(connection, {row.body_sha256 for row in ledger}, [digest(3).hex()])
    found = settle(ledger, records)
    expected = {"lost": 0, "repeated": 0, "conflicts": 0, **expected}
    assert {name: getattr(found, name) for name in expected} == expected
