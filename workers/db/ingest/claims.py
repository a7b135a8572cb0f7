"""Decide which events are new: the unique index of processed_events decides."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from workers.db.engine import INTEGER, BulkStatement, column_kinds, insert_into
from workers.db.models import processed_events
from workers.parsing import ClaimedEvent, replay_event

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

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
_SKIP: Final = BulkStatement(
    """
    UPDATE processed_events SET outcome = 'skipped', reason = {reason}
    FROM {rows} WHERE processed_events.id = {event_id}
    """,
    {"event_id": INTEGER, **column_kinds(processed_events, "reason")},
)


FIRST_TIME: Final = "first_time"
"""Why a replay that was to take effect again did not: its event had never taken effect, and does so now."""


@dataclass(frozen=True, slots=True)
class Claims:
    """The arrivals of a batch, by whether their keys are known.

    Args:
        new: The first arrival of each event that was not recorded before, in the order of arrival.
        known: All other arrivals, in the order of arrival: repetitions, and conflicts with another content.
    """

    new: list[ClaimedEvent]
    known: list[Arrival]


def claim(connection: Connection, arrivals: Sequence[Arrival], now_us: int) -> Claims:
    """Record the events that are new.

    A replay that is to take effect again claims its event's own key first. Only if that key is known does it
    claim the key of its generation. Otherwise the own key would stay free, and a late copy of the event
    would take effect a second time.
    """
    claims = _claim(connection, arrivals, now_us)
    replayed = [arrival for arrival in arrivals if arrival.generation]
    if not replayed:
        return claims
    first_time = {claimed.event.idempotency_key for claimed in claims.new}
    again = _claim(connection, [_again(arrival, first_time) for arrival in replayed], now_us)
    known = [arrival for arrival in claims.known if not arrival.generation]
    return Claims(claims.new + again.new, known + again.known)


def _again(arrival: Arrival, first_time: Collection[str]) -> Arrival:
    """Return a replay under the key of its generation, which it uses up even if this is the first effect.

    It would otherwise take effect a second time when the same delivery comes again.
    """
    event = arrival.event
    if event.idempotency_key in first_time:
        event = replace(event, skip=FIRST_TIME)
    return replace(arrival, event=replay_event(event, arrival.generation or ""))


def _claim(connection: Connection, arrivals: Iterable[Arrival], now_us: int) -> Claims:
    """Insert a row for each key that is not known.

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
        return Claims([], [])
    rows = [_row_of(first_of[key], copies.get(key, 0), now_us) for key in sorted(first_of)]
    event_ids = {key: event_id for event_id, key in _CLAIM.execute(connection, rows)}
    new = [ClaimedEvent(event_ids[key], arrival) for key, arrival in first_of.items() if key in event_ids]
    known = [
        arrival
        for key, first in first_of.items()
        if key not in event_ids
        for arrival in [first] * (1 + copies[key])
    ]
    return Claims(new, [*known, *others])


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
