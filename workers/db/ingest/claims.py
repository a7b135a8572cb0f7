"""Record events; the unique index of processed_events decides which are new."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Final

from sqlalchemy import Connection

from workers.db.engine import BulkStatement, column_kinds, insert_into
from workers.db.models import duplicate_events, event_payloads, processed_events, unstored_events
from workers.parsing import GUIDE, Arrival, ClaimedEvent, literal_key, replay_event

DAY_US: Final = 86_400_000_000

FIRST_TIME: Final = "first_time"
"""Skip reason of a replay that must take effect again, if its event had not taken effect before."""

IMPORTED: Final = "imported"
"""Skip reason of an event that already took effect in the guide's own code; see `omctl import-keys`."""

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
"""The attribute of an arrival for each column."""

_get_values: Final = attrgetter(*_COLUMNS.values())

# An imported key is `conversation:time`, the beginning of the key of each event that it stands for; the time
# has 27 characters. Its length alone does not identify an imported key: this event's own may be as short. A
# subquery is answered by index; for EXISTS, PostgreSQL would hash the whole table.
# The conflict target is named: without it, every other violation would be ignored as well, and its event
# would be lost.
_CLAIM: Final = insert_into(
    processed_events,
    (*_COLUMNS, "deliveries", "last_delivered_at", "processed_at"),
    """
    ON CONFLICT (idempotency_key) DO NOTHING RETURNING id, idempotency_key, (
        SELECT true FROM processed_events AS imported WHERE imported.event_type = 'imported'
            AND imported.idempotency_key
            = substr(processed_events.idempotency_key, 1, length(processed_events.conversation_id) + 28))
    """,
    outcome="'processed'",
)
# Message id, source, dialect, digest, request id, deliveries, time of the last copy.
_IMPORTED_FIELDS: Final = (IMPORTED, IMPORTED, GUIDE, bytes(32).hex(), None, 1, None)
_KEEP_PAYLOAD: Final = insert_into(event_payloads, ("event_id", "stored_at", "body"))
_SKIP: Final = BulkStatement(
    """
    UPDATE processed_events SET outcome = 'skipped', reason = {reason}
    FROM {rows} WHERE processed_events.id = {id}
    """,
    column_kinds(processed_events, "id", "reason"),
)

# Rows are sorted by key and found one by one by index, so that two transactions lock them in the same order.
# RETURNING lists the copies with the same body; the others are conflicts.
_COUNT_COPIES: Final = BulkStatement(
    """
    UPDATE processed_events
    SET deliveries = deliveries + {deliveries}, last_delivered_at = {last_delivered_at}
    FROM {rows} WHERE idempotency_key = {idempotency_key} AND body_sha256 = {body_sha256}
    RETURNING idempotency_key, body_sha256
    """,
    column_kinds(processed_events, "idempotency_key", "body_sha256", "deliveries", "last_delivered_at"),
)
_CONFLICT_COLUMNS: Final = ("idempotency_key", "body_sha256", "deliveries", "first_seen_at")
_RECORD_CONFLICTS: Final = BulkStatement(
    """
    INSERT INTO duplicate_events (event_id, idempotency_key, body_sha256, deliveries, first_seen_at,
        last_seen_at, message_id, source, body)
    SELECT processed_events.id, {idempotency_key}, {body_sha256}, {deliveries}, {first_seen_at},
        {first_seen_at}, {message_id}, {source}, {body}
    FROM {rows} JOIN processed_events ON processed_events.idempotency_key = {idempotency_key} WHERE true
    ON CONFLICT (event_id, body_sha256) DO UPDATE SET
        deliveries = duplicate_events.deliveries + excluded.deliveries, last_seen_at = excluded.last_seen_at
    """,
    column_kinds(duplicate_events, *_CONFLICT_COLUMNS, "message_id", "source", "body"),
)
_COUNT_UNSTORED: Final = insert_into(
    unstored_events,
    ("day", "event_type", "events"),
    "ON CONFLICT (day, event_type) DO UPDATE SET events = unstored_events.events + excluded.events",
)


@dataclass(frozen=True, slots=True)
class Claims:
    """The first arrivals of new events, and all other arrivals: copies and conflicts."""

    new: list[ClaimedEvent]
    known: list[Arrival]


def claim(connection: Connection, arrivals: Sequence[Arrival], now_us: int) -> Claims:
    """Record the events that are new.

    A replay that must take effect again claims its event's own key first, and then the key of its generation.
    If it claimed only the second one, the event's own key could stay free, and a late copy of the event would
    take effect a second time.
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
    """Return a replay under the key of its generation.

    It claims that key even if the event takes effect for the first time now. Otherwise it would take effect a
    second time when the same delivery arrives again.
    """
    skip = FIRST_TIME if arrival.event.idempotency_key in first_time else arrival.event.skip
    event = replace(replay_event(arrival.event, arrival.generation or ""), skip=skip)
    return replace(arrival, event=event)


def _claim(connection: Connection, arrivals: Iterable[Arrival], now_us: int) -> Claims:
    """Insert a row for each key that is not known.

    Rows are inserted in the order of their keys. Two transactions with the same keys in different orders
    would deadlock, because ON CONFLICT waits for the other transaction's uncommitted row.
    """
    first: dict[str, Arrival] = {}
    copies: Counter[str] = Counter()
    conflicts: list[Arrival] = []
    for arrival in arrivals:
        key = arrival.event.idempotency_key
        # The first of two arrivals in one batch is kept, as if they had arrived in two batches.
        kept = first.setdefault(key, arrival)
        if kept is not arrival and kept.body_sha256 == arrival.body_sha256:
            copies[key] += 1
        elif kept is not arrival:
            conflicts.append(arrival)
    if not first:
        return Claims([], [])
    rows = [
        (*_get_values(first[key]), 1 + copies[key], now_us if copies[key] else None, now_us)
        for key in sorted(first)
    ]
    event_ids: dict[str, int] = {}
    for event_id, key, is_imported in _CLAIM.execute(connection, rows):
        event_ids[key] = event_id
        if is_imported and not first[key].generation:
            first[key] = replace(first[key], event=replace(first[key].event, skip=IMPORTED))
    new = [ClaimedEvent(event_ids[key], arrival) for key, arrival in first.items() if key in event_ids]
    old = first.keys() - event_ids.keys()
    known = [arrival for key, kept in first.items() if key in old for arrival in [kept] * (1 + copies[key])]
    return Claims(new, [*known, *conflicts])


def import_keys(connection: Connection, keys: Iterable[tuple[str, int]], now_us: int) -> int:
    """Record that events took effect elsewhere, by conversation and microseconds; return how many are new."""
    rows = [
        (literal_key(conversation, at_us), conversation, IMPORTED, at_us, now_us, *_IMPORTED_FIELDS, now_us)
        for conversation, at_us in sorted(set(keys))
    ]
    event_ids = [event_id for event_id, *_ in _CLAIM.execute(connection, rows)]
    mark_skipped(connection, dict.fromkeys(event_ids, IMPORTED))
    return len(event_ids)


def keep_payloads(connection: Connection, claimed: Iterable[ClaimedEvent], now_us: int) -> None:
    """Store the raw bodies of new events."""
    _KEEP_PAYLOAD.execute(connection, [(each.event_id, now_us, each.arrival.body) for each in claimed])


def mark_skipped(connection: Connection, reasons: Mapping[int, str]) -> None:
    """Record that new events had no effect; *reasons* has one stable word for each `processed_events.id`."""
    if reasons:
        _SKIP.execute(connection, sorted(reasons.items()))


def record_duplicates(connection: Connection, arrivals: Iterable[Arrival], now_us: int) -> int:
    """Count copies on their event's row, record conflicts, and return the number of conflicting arrivals.

    Call it after the claim, in the same transaction, so that it sees rows that others committed meanwhile.
    """
    first: dict[tuple[str, str], Arrival] = {}
    deliveries: Counter[tuple[str, str]] = Counter()
    for arrival in arrivals:
        copy = (arrival.event.idempotency_key, arrival.body_sha256)
        first.setdefault(copy, arrival)
        deliveries[copy] += 1
    if not first:
        return 0
    rows = [(*copy, count, now_us) for copy, count in sorted(deliveries.items())]
    same = {(key, digest.hex()) for key, digest in _COUNT_COPIES.execute(connection, rows)}
    conflicts = [(row, first[row[:2]]) for row in rows if row[:2] not in same]
    if conflicts:
        bodies = [(*row, arrival.message_id, arrival.source, arrival.body) for row, arrival in conflicts]
        _RECORD_CONFLICTS.execute(connection, bodies)
    return sum(row[2] for row, _ in conflicts)


def count_unstored(connection: Connection, counts: Mapping[str, int], now_us: int) -> None:
    """Add events that are not stored to the counts of the UTC day, by event type.

    Every worker updates the same rows: call it last in the transaction, so that none waits for long.
    """
    if counts:
        day_us = now_us - now_us % DAY_US
        _COUNT_UNSTORED.execute(connection, [(day_us, kind, count) for kind, count in sorted(counts.items())])
