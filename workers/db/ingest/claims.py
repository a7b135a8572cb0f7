"""Record events. The unique index of processed_events decides which events are new."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Final

from sqlalchemy import Connection

from workers.db.engine import BulkStatement, column_kinds, insert_into
from workers.db.models import event_conflicts, event_payloads, processed_events, unstored_events
from workers.parsing import GUIDE, Arrival, ClaimedEvent, literal_key, replay_event

DAY_US: Final = 86_400_000_000

IMPORTED: Final = "imported"
"""Skip reason for an event that took effect in the guide's own code; `omctl import-keys` imports its key."""

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
"""Maps each column of `processed_events` to the attribute of an Arrival that fills it."""

_get_values: Final = attrgetter(*_COLUMNS.values())

# The subquery looks for an imported key, `conversation:time`, that begins this event's key. The time
# has 27 characters. The event type is compared too, because this event's own key can be just as short.
# PostgreSQL answers the subquery from an index; for EXISTS, it would hash the whole table.
# ON CONFLICT names its column. Otherwise, violations of other constraints would be ignored too, and the event
# would be lost.
_CLAIM: Final = insert_into(
    processed_events,
    (*_COLUMNS, "processed_at"),
    """
    ON CONFLICT (idempotency_key) DO NOTHING RETURNING id, idempotency_key, (
        SELECT true FROM processed_events AS imported WHERE imported.event_type = 'imported'
            AND imported.idempotency_key
            = substr(processed_events.idempotency_key, 1, length(processed_events.conversation_id) + 28))
    """,
    outcome="'processed'",
)
# The message id, source, dialect, digest and request id of an imported key's row.
_IMPORTED_FIELDS: Final = (IMPORTED, IMPORTED, GUIDE, bytes(32).hex(), None)
_KEEP_PAYLOAD: Final = insert_into(event_payloads, ("event_id", "stored_at", "body"))
_SKIP: Final = BulkStatement(
    """
    UPDATE processed_events SET outcome = 'skipped', reason = {reason}
    FROM {rows} WHERE processed_events.id = {id}
    """,
    column_kinds(processed_events, "id", "reason"),
)

# The given rows are sorted by key and found in the index one by one, so all transactions lock rows in the
# same order. RETURNING lists the copies that have the same body; all other arrivals are conflicts.
_COUNT_COPIES: Final = BulkStatement(
    """
    UPDATE processed_events
    SET times_received = times_received + {times_received}, last_repeated_at = {last_repeated_at}
    FROM {rows} WHERE idempotency_key = {idempotency_key} AND body_sha256 = {body_sha256}
    RETURNING idempotency_key, body_sha256
    """,
    column_kinds(processed_events, "idempotency_key", "body_sha256", "times_received", "last_repeated_at"),
)
_CONFLICT_COLUMNS: Final = ("idempotency_key", "body_sha256", "times_received", "first_seen_at")
_RECORD_CONFLICTS: Final = BulkStatement(
    """
    INSERT INTO event_conflicts (event_id, idempotency_key, body_sha256, times_received, first_seen_at,
        last_seen_at, message_id, source, body)
    SELECT processed_events.id, {idempotency_key}, {body_sha256}, {times_received}, {first_seen_at},
        {first_seen_at}, {message_id}, {source}, {body}
    FROM {rows} JOIN processed_events ON processed_events.idempotency_key = {idempotency_key} WHERE true
    ON CONFLICT (event_id, body_sha256) DO UPDATE SET
        times_received = event_conflicts.times_received + excluded.times_received,
        last_seen_at = excluded.last_seen_at
    """,
    column_kinds(event_conflicts, *_CONFLICT_COLUMNS, "message_id", "source", "body"),
)
_COUNT_UNSTORED: Final = insert_into(
    unstored_events,
    ("day", "event_type", "events"),
    "ON CONFLICT (day, event_type) DO UPDATE SET events = unstored_events.events + excluded.events",
)


@dataclass(frozen=True, slots=True)
class Claims:
    """The new events with their first arrivals, and all other arrivals, which are copies or conflicts."""

    new: list[ClaimedEvent]
    known: list[Arrival]


def claim(connection: Connection, arrivals: Sequence[Arrival], now_us: int) -> Claims:
    """Record the new events, and return which arrivals are new and which are known.

    A replay that must take effect again claims the event's own key first, and then the key of its generation.
    If it claimed only the second key, the event's own key might stay free, and a late copy would take effect.
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
    """Return a replay's arrival with the key of its generation.

    The key is claimed even if the event had no effect before; otherwise a redelivery would take effect again.
    """
    skip = "first_time" if arrival.event.idempotency_key in first_time else arrival.event.skip
    event = replace(replay_event(arrival.event, arrival.generation or ""), skip=skip)
    return replace(arrival, event=event)


def _claim(connection: Connection, arrivals: Sequence[Arrival], now_us: int) -> Claims:
    """Insert a row for each key that is not known.

    Rows are inserted in the order of their keys. If two transactions inserted the same keys in different
    orders, they would deadlock, because ON CONFLICT waits for the other transaction's uncommitted row.
    """
    # If an event arrives twice in one batch, keep its first arrival, as if it had arrived in two batches.
    first = {arrival.event.idempotency_key: arrival for arrival in reversed(arrivals)}
    rows = [(*_get_values(first[key]), now_us) for key in sorted(first)]
    claimed = {key: (event_id, imported) for event_id, key, imported in _CLAIM.execute(connection, rows)}
    claims = Claims([], [])
    for arrival in arrivals:
        event_id, is_imported = claimed.pop(arrival.event.idempotency_key, (None, None))
        if event_id is None:
            claims.known.append(arrival)
        elif is_imported and not arrival.generation:
            imported = replace(arrival, event=replace(arrival.event, skip=IMPORTED))
            claims.new.append(ClaimedEvent(event_id, imported))
        else:
            claims.new.append(ClaimedEvent(event_id, arrival))
    return claims


def import_keys(connection: Connection, keys: Iterable[tuple[str, int]], now_us: int) -> int:
    """Record events that took effect elsewhere, given as (conversation, time); return how many are new."""
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
    """Record that new events had no effect. *reasons* maps a `processed_events.id` to a stable code."""
    _SKIP.execute(connection, sorted(reasons.items()))


def record_duplicates(connection: Connection, arrivals: Iterable[Arrival], now_us: int) -> int:
    """Count copies in their event's row, record conflicts, and return the number of conflicts.

    Call this after `claim`, in the same transaction, to see the rows that other transactions committed.
    """
    by_body = defaultdict[tuple[str, str], list[Arrival]](list)
    for arrival in arrivals:
        by_body[arrival.event.idempotency_key, arrival.body_sha256].append(arrival)
    rows = [(*body, len(by_body[body]), now_us) for body in sorted(by_body)]
    same = {(key, digest.hex()) for key, digest in _COUNT_COPIES.execute(connection, rows)}
    conflicts = [(row, by_body[row[:2]][0]) for row in rows if row[:2] not in same]
    bodies = [(*row, first.message_id, first.source, first.body) for row, first in conflicts]
    _RECORD_CONFLICTS.execute(connection, bodies)
    return sum(row[2] for row, _ in conflicts)


def count_unstored(connection: Connection, counts: Mapping[str, int], now_us: int) -> None:
    """Add the numbers of unstored events to the counts of the current UTC day, by event type.

    All workers update the same rows, so call this last in a transaction: they are then locked only briefly.
    """
    day_us = now_us - now_us % DAY_US
    _COUNT_UNSTORED.execute(connection, [(day_us, kind, count) for kind, count in sorted(counts.items())])
