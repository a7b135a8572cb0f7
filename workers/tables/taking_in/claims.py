"""Decide what is new: the unique index of processed_events, and nothing else, tells."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from workers.parsing import ClaimedEvent
from workers.tables.database import INTEGER, RowStatement, insert_into, kinds_of
from workers.tables.models import processed_events
from workers.tables.taking_in.duplicates import record_duplicates

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

    from workers.parsing import Arrival

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
    "request_id": "request_id",
}
"""What an arrival says of each column."""

_values_of: Final = attrgetter(*_COLUMNS.values())

# The conflict target is named, because without it every other violation would be swallowed as well, and an
# event with it.
_CLAIM: Final = insert_into(
    processed_events,
    (*_COLUMNS, "deliveries", "last_delivered_at", "processed_at"),
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


@dataclass(frozen=True, slots=True)
class Claims:
    """What a batch brought.

    Args:
        new: The first arrival of each event that was not recorded before, in the order of arrival.
        conflicts: How many arrivals have the key of an event that is known, and another content.
    """

    new: list[ClaimedEvent]
    conflicts: int


def claim(connection: Connection, arrivals: Iterable[Arrival], now_us: int) -> Claims:
    """Record the arrivals: new events, repetitions of known ones, and conflicts with them.

    Rows are inserted in the order of their keys. Two transactions with overlapping keys in different
    orders would wait for each other for ever: ON CONFLICT waits for the other's uncommitted row.
    """
    first_of: dict[str, Arrival] = {}
    copies: Counter[str] = Counter()
    others: list[Arrival] = []
    for arrival in arrivals:
        first = first_of.setdefault(arrival.event.idempotency_key, arrival)
        # Of two arrivals in one batch the first is kept, as it would be in two.
        if first is not arrival and first.body_sha256 == arrival.body_sha256:
            copies[arrival.event.idempotency_key] += 1
        elif first is not arrival:
            others.append(arrival)
    if not first_of:
        return Claims([], 0)
    rows = [_row_of(first_of[key], copies.get(key, 0), now_us) for key in sorted(first_of)]
    event_ids = {key: event_id for event_id, key in _CLAIM.execute(connection, rows)}
    new = [ClaimedEvent(event_ids[key], arrival) for key, arrival in first_of.items() if key in event_ids]
    known = [
        arrival
        for key, first in first_of.items()
        if key not in event_ids
        for arrival in [first] * (1 + copies[key])
    ]
    return Claims(new, record_duplicates(connection, [*known, *others], now_us))


def _row_of(arrival: Arrival, copies: int, now_us: int) -> tuple[object, ...]:
    return (*_values_of(arrival), 1 + copies, now_us if copies else None, now_us)


def mark_skipped(connection: Connection, reasons: dict[int, str]) -> None:
    """Record that events had no effect.

    Args:
        connection: In the transaction that claimed them.
        reasons: One stable word for each `processed_events.id`.
    """
    if reasons:
        _SKIP.execute(connection, sorted(reasons.items()))
