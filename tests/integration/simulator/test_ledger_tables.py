"""A sender's ledger is compared with real tables."""

from hashlib import sha256

import pytest
from sqlalchemy import insert, update

from simulator.accounts import read_records, settle
from simulator.ledger import LedgerRow
from tests.rows import make_row
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

    def add(table, **values):
        connection.execute(insert(table).values(**make_row(table, **values)))

    for number, event_type in ((1, CONVERSATION_NEW), (2, CONVERSATION_MESSAGE)):
        event = {"id": number, "idempotency_key": f"key-{number}", "body_sha256": digest(number)}
        done = {"event_type": event_type, "outcome": "processed"}
        add(processed_events, conversation_id="c", source="webhook", **event, **done)
        add(event_payloads, event_id=number, body=body(number))
    add(conversations, conversation_id="c", status="started", event_count=2, message_count=1)
    add(conversation_messages, event_id=2, conversation_id="c")
    add(dead_letters, code="not_json", source="webhook", body_sha256=digest(3))


CONFLICT = make_row(event_conflicts, event_id=2, body_sha256=digest(5), idempotency_key="key-2", body=body(5))
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
