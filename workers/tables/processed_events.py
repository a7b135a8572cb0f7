"""Decide what is new: the unique index of processed_events, and nothing else, tells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from workers.parsing.events import ClaimedEvent
from workers.tables.rowset import DIGEST, INTEGER, MOMENT, TEXT, RowStatement

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

    from workers.parsing.events import Arrival

# "WHERE true" keeps SQLite from reading ON CONFLICT as the condition of a join. The conflict target is
# named, because without it every other violation would be swallowed as well, and an event with it.
_CLAIM: Final = RowStatement(
    """
    INSERT INTO processed_events (
        idempotency_key, conversation_id, event_type, outcome, occurred_at, received_at, processed_at,
        message_id, source, dialect, body_sha256)
    SELECT {idempotency_key}, {conversation_id}, {event_type}, 'processed', {occurred_at}, {received_at},
        {processed_at}, {message_id}, {source}, {dialect}, {body_sha256}
    FROM {rows} WHERE true
    ON CONFLICT (idempotency_key) DO NOTHING
    RETURNING id, idempotency_key
    """,
    {
        "idempotency_key": TEXT,
        "conversation_id": TEXT,
        "event_type": TEXT,
        "occurred_at": MOMENT,
        "received_at": MOMENT,
        "processed_at": MOMENT,
        "message_id": TEXT,
        "source": TEXT,
        "dialect": TEXT,
        "body_sha256": DIGEST,
    },
)
_SKIP: Final = RowStatement(
    """
    UPDATE processed_events SET outcome = 'skipped', reason = {reason}
    FROM {rows} WHERE processed_events.id = {event_id}
    """,
    {"event_id": INTEGER, "reason": TEXT},
)


def claim(connection: Connection, arrivals: Iterable[Arrival], now_us: int) -> list[ClaimedEvent]:
    """Record the arrivals and return the first one of each event that was not recorded before.

    Rows are inserted in the order of their keys. Two transactions with overlapping keys in different
    orders would wait for each other for ever: ON CONFLICT waits for the other's uncommitted row.

    Returns:
        New events in the order of their arrival.
    """
    # Of two arrivals in one batch the first is kept, as it would be in two.
    first_of: dict[str, Arrival] = {}
    for arrival in arrivals:
        first_of.setdefault(arrival.event.idempotency_key, arrival)
    if not first_of:
        return []
    rows = [_row_of(first_of[key], now_us) for key in sorted(first_of)]
    event_ids = {key: event_id for event_id, key in _CLAIM.execute(connection, rows)}
    return [ClaimedEvent(event_ids[key], arrival) for key, arrival in first_of.items() if key in event_ids]


def mark_skipped(connection: Connection, reasons: dict[int, str]) -> None:
    """Record that events had no effect.

    Args:
        connection: In the transaction that claimed them.
        reasons: One stable word for each `processed_events.id`.
    """
    if reasons:
        _SKIP.execute(connection, sorted(reasons.items()))


def _row_of(arrival: Arrival, now_us: int) -> tuple[object, ...]:
    event = arrival.event
    return (
        event.idempotency_key,
        event.conversation_id,
        event.event_type,
        event.occurred_at_us,
        arrival.received_at_us,
        now_us,
        arrival.message_id,
        arrival.source,
        event.dialect,
        arrival.body_sha256,
    )
