"""Read from the tables what a sender's ledger is settled with."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, case, func, select

from simulator.ledger.settlement import DeadLetterRow, Effect, ProcessedRow, Records
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

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from sqlalchemy import Connection, CursorResult, Select, Table
    from sqlalchemy.sql.elements import ColumnElement

FETCH_ROWS = 10_000
"""Rows held at a time: the tables may be longer than memory."""

EXPECTED_OF = {
    "event_count": "events",
    "message_count": "messages",
    "conversation_messages": "messages",
    "message_receipts": "receipts",
}
"""Each count that the workers keep of a conversation, and the events of processed_events it must equal."""


def read_records(connection: Connection, digests: Collection[str]) -> Records:
    """Return what the tables hold of bodies with *digests*; call it when queues and journals are empty."""
    processed = list(_processed(connection, digests))
    return Records(
        processed=processed,
        dead_letters=list(_dead_letters(connection, digests)),
        effects=list(_effects(connection, {row.conversation_id for row in processed})),
        conflicts=_conflicts(connection) & set(digests),
        kept=_kept(connection) & set(digests),
    )


def _processed(connection: Connection, digests: Collection[str]) -> Iterator[ProcessedRow]:
    """Yield the rows of processed_events whose body is one of *digests*, hexadecimal."""
    table = processed_events.c
    query = select(table.body_sha256, table.conversation_id, table.outcome, table.event_type)
    for row in _rows(connection, query):
        if (digest := row.body_sha256.hex()) in digests:
            yield ProcessedRow(digest, row.conversation_id, row.outcome, row.event_type)


def _dead_letters(connection: Connection, digests: Collection[str]) -> Iterator[DeadLetterRow]:
    """Yield the rows of dead_letters whose body is one of *digests*, hexadecimal."""
    for row in _rows(connection, select(dead_letters.c.body_sha256, dead_letters.c.code)):
        if (digest := row.body_sha256.hex()) in digests:
            yield DeadLetterRow(digest, row.code)


def _effects(connection: Connection, conversation_ids: Collection[str]) -> Iterator[Effect]:
    """Yield each count that the workers keep of *conversation_ids*, beside the events that it must equal."""
    events = _events_by_conversation().subquery("events")
    messages = _count_by_conversation(conversation_messages).subquery("messages")
    receipts = _count_by_conversation(message_receipts).subquery("receipts")
    of = events.c.conversation_id
    query = (
        select(
            of,
            events.c.events,
            events.c.messages,
            events.c.receipts,
            func.coalesce(conversations.c.event_count, 0).label("event_count"),
            func.coalesce(conversations.c.message_count, 0).label("message_count"),
            func.coalesce(messages.c.rows, 0).label("conversation_messages"),
            func.coalesce(receipts.c.rows, 0).label("message_receipts"),
        )
        .outerjoin(conversations, conversations.c.conversation_id == of)
        .outerjoin(messages, messages.c.conversation_id == of)
        .outerjoin(receipts, receipts.c.conversation_id == of)
    )
    for row in _rows(connection, query).mappings():
        if row["conversation_id"] in conversation_ids:
            for counter, expected in EXPECTED_OF.items():
                yield Effect(f"{counter} of {row['conversation_id']}", row[expected], row[counter])


def _conflicts(connection: Connection) -> set[str]:
    return {digest.hex() for (digest,) in _rows(connection, select(duplicate_events.c.body_sha256))}


def _kept(connection: Connection) -> set[str]:
    """Return the digest of every body that is stored, computed from its bytes and not read from a column."""
    stored = (event_payloads.c.body, duplicate_events.c.body)
    return {sha256(body).hexdigest() for column in stored for (body,) in _rows(connection, select(column))}


def _events_by_conversation() -> Select[Any]:
    """Count what should have entered each conversation; what the filter holds back enters none."""
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


def _count_by_conversation(table: Table) -> Select[Any]:
    of = table.c.conversation_id
    return select(of, func.count().label("rows")).group_by(of)


def _rows(connection: Connection, query: Select[Any]) -> CursorResult[Any]:
    return connection.execution_options(yield_per=FETCH_ROWS).execute(query)
