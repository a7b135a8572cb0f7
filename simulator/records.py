"""Read from the tables what a sender's ledger is compared with."""

from collections import defaultdict
from collections.abc import Collection, Iterator
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import Connection, CursorResult, Select, Table, and_, case, func, select
from sqlalchemy.sql.elements import ColumnElement

from simulator.settlement import Records
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
    table, outcomes, conversation_ids = processed_events.c, defaultdict[str, list[str]](list), set[str]()
    for row in _rows(connection, select(table.body_sha256, table.conversation_id, table.outcome)):
        if (digest := row.body_sha256.hex()) in digests:
            outcomes[digest].append(row.outcome)
            conversation_ids.add(row.conversation_id)
    dead = _rows(connection, select(dead_letters.c.body_sha256, dead_letters.c.code))
    dead_rows = [(row.body_sha256.hex(), row.code) for row in dead]
    conflicts = _rows(connection, select(duplicate_events.c.body_sha256))
    return Records(
        outcomes=outcomes,
        dead_letters=[(digest, code) for digest, code in dead_rows if digest in digests],
        deviations=list(_deviations(connection, conversation_ids)),
        conflicts={digest.hex() for (digest,) in conflicts} & set(digests),
        kept=_stored(connection) & set(digests),
    )


def _stored(connection: Connection) -> set[str]:
    """Return the digest of every stored body, computed from its bytes."""
    columns = (event_payloads.c.body, duplicate_events.c.body)
    return {sha256(body).hexdigest() for column in columns for (body,) in _rows(connection, select(column))}


def _deviations(connection: Connection, conversation_ids: Collection[str]) -> Iterator[int]:
    """Yield for each count of these conversations by how much it is too high."""
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
                yield row[counter] - row[expected]


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
