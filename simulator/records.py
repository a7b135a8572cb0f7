"""Read from the tables what a sender's ledger is compared with."""

from collections.abc import Collection, Iterator
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import Connection, CursorResult, Select, Table, and_, case, func, select
from sqlalchemy.sql.elements import ColumnElement

from simulator.settlement import DeadLetterRow, Effect, ProcessedRow, Records
from workers.db.models import (
    conversation_messages,
    conversations,
    dead_letters,
    duplicate_events,
    event_payloads,
    message_receipts,
    processed_events,
)
from workers.intake import FILTERED
from workers.parsing import CONVERSATION_MESSAGE, RECEIPT

FETCH_ROWS: Final = 10_000
"""Rows held at a time: the tables may be larger than memory."""

EXPECTED_COUNTS: Final = {
    "event_count": "events",
    "message_count": "messages",
    "conversation_messages": "messages",
    "message_receipts": "receipts",
}
"""Each count that the workers keep of a conversation, and the events that it must equal."""


def read_records(connection: Connection, digests: Collection[str]) -> Records:
    """Return what the tables hold of the bodies with these hexadecimal digests."""
    processed = list(_processed(connection, digests))
    dead = _rows(connection, select(dead_letters.c.body_sha256, dead_letters.c.code))
    conflicts = _rows(connection, select(duplicate_events.c.body_sha256))
    return Records(
        processed=processed,
        dead_letters=[
            DeadLetterRow(row.body_sha256.hex(), row.code) for row in dead if row.body_sha256.hex() in digests
        ],
        effects=list(_effects(connection, {row.conversation_id for row in processed})),
        conflicts={digest.hex() for (digest,) in conflicts} & set(digests),
        kept=_stored(connection) & set(digests),
    )


def _processed(connection: Connection, digests: Collection[str]) -> Iterator[ProcessedRow]:
    table = processed_events.c
    query = select(table.body_sha256, table.conversation_id, table.outcome, table.event_type)
    for row in _rows(connection, query):
        if (digest := row.body_sha256.hex()) in digests:
            yield ProcessedRow(digest, row.conversation_id, row.outcome, row.event_type)


def _stored(connection: Connection) -> set[str]:
    """Return the digest of every stored body, computed from its bytes."""
    columns = (event_payloads.c.body, duplicate_events.c.body)
    return {sha256(body).hexdigest() for column in columns for (body,) in _rows(connection, select(column))}


def _effects(connection: Connection, conversation_ids: Collection[str]) -> Iterator[Effect]:
    """Yield each count that the workers keep of these conversations."""
    events = _expected_counts().subquery("events")
    messages = _count_rows(conversation_messages).subquery("messages")
    receipts = _count_rows(message_receipts).subquery("receipts")
    conversation_id = events.c.conversation_id
    query = (
        select(
            conversation_id,
            events.c.events,
            events.c.messages,
            events.c.receipts,
            func.coalesce(conversations.c.event_count, 0).label("event_count"),
            func.coalesce(conversations.c.message_count, 0).label("message_count"),
            func.coalesce(messages.c.rows, 0).label("conversation_messages"),
            func.coalesce(receipts.c.rows, 0).label("message_receipts"),
        )
        .outerjoin(conversations, conversations.c.conversation_id == conversation_id)
        .outerjoin(messages, messages.c.conversation_id == conversation_id)
        .outerjoin(receipts, receipts.c.conversation_id == conversation_id)
    )
    for row in _rows(connection, query).mappings():
        if row["conversation_id"] in conversation_ids:
            for counter, expected in EXPECTED_COUNTS.items():
                yield Effect(f"{counter} of {row['conversation_id']}", row[expected], row[counter])


def _expected_counts() -> Select[Any]:
    """Count the events that belong to each conversation; those that the event filter rejects do not."""
    table = processed_events.c
    entered = table.reason.is_distinct_from(FILTERED)
    return select(
        table.conversation_id,
        _count_where(entered).label("events"),
        _count_where(and_(entered, table.event_type == CONVERSATION_MESSAGE)).label("messages"),
        _count_where(and_(entered, table.event_type == RECEIPT)).label("receipts"),
    ).group_by(table.conversation_id)


def _count_where(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.sum(case((condition, 1), else_=0))


def _count_rows(table: Table) -> Select[Any]:
    return select(table.c.conversation_id, func.count().label("rows")).group_by(table.c.conversation_id)


def _rows(connection: Connection, query: Select[Any]) -> CursorResult[Any]:
    return connection.execution_options(yield_per=FETCH_ROWS).execute(query)
