"""Decide what is new: the unique index of processed_events, and nothing else, tells."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Final

from workers.parsing.events import ClaimedEvent
from workers.tables.models import processed_events
from workers.tables.rowset import INTEGER, RowStatement, insert_into, kinds_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

    from workers.parsing.events import Arrival

_COLUMNS: Final = {
    "idempotency_key": "event.idempotency_key",
    "conversation_id": "event.conversation_id",
    "event_type": "event.event_type",
    "occurred_at": "event.occurred_at_us",
    "received_at": "received_at_us",
    "message_id": "message_id",
    "source": "source",
    "dialect": "event.dialect",
    "body_sha256": "body_sha256",
}
"""What an arrival says of each column."""

_values_of: Final = attrgetter(*_COLUMNS.values())

# The conflict target is named, because without it every other violation would be swallowed as well, and an
# event with it.
_CLAIM: Final = insert_into(
    processed_events,
    (*_COLUMNS, "processed_at"),
    "ON CONFLICT (idempotency_key) DO NOTHING RETURNING id, idempotency_key",
    outcome="'processed'",
)
_SKIP: Final = RowStatement(
    """
    UPDATE processed_events SET outcome = 'skipped', reason = {reason}
    FROM {rows} WHERE processed_events.id = {event_id}
    """,
    {"event_id": INTEGER, **kinds_of(processed_events, "reason")},
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
    rows = [(*_values_of(first_of[key]), now_us) for key in sorted(first_of)]
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
