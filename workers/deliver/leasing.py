"""Lease a destination's due deliveries, in order within each conversation."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from itertools import groupby
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, select

from workers.db.engine import BulkStatement, column_kinds
from workers.db.models import deliveries, destinations, event_payloads, outbox
from workers.deliver.outcome import FailedAttempts
from workers.deliver.parking import IN_ORDER, MAX_WALK, OF_CONVERSATION, WAITS, find_first, lock
from workers.deliver.webhook import WebhookMessage
from workers.parsing import microseconds_of

MIN_RUN_EVENTS: Final = 10
"""While many conversations are waiting, this number of events is leased at a time for each of them, or fewer
if the lease would otherwise contain too many events."""

_D: Final = deliveries.c
_O: Final = outbox.c

MESSAGE_COLUMNS: Final = (
    _O.id,
    _O.conversation_id,
    _O.event_id,
    _O.event_type,
    _O.occurred_at,
    _O.late,
    _O.verified,
    _O.created_at,
    event_payloads.c.body,
)
"""The columns that a query must select so that `to_message` can make a message from a row."""

# SQLAlchemy computes a statement's cache key only once if the statement is kept.
_UNPAUSED: Final = select(destinations.c.name).where(destinations.c.paused_at.is_(None))
_LEASED: Final = (
    select(*MESSAGE_COLUMNS, _D.due_at, _D.attempts, _D.first_attempt_at, _D.refused_at)
    .select_from(deliveries)
    .join(outbox, _O.id == _D.outbox_id)
    .outerjoin(event_payloads, event_payloads.c.event_id == _O.event_id)
    .where(_D.destination == bindparam("name"), WAITS, _D.outbox_id.in_(bindparam("ids", expanding=True)))
    .order_by(_O.id)
)
_IS_FREE: Final = "(w.due_at <= {due_at} OR w.due_at > '9000-01-01')"
_RUNS: Final = {
    "postgresql": "SELECT f.conversation_id, f.outbox_id, f.is_free FROM {{rows}} CROSS JOIN LATERAL"
    " (SELECT w.conversation_id, w.outbox_id, {is_free} AS is_free {following}) AS f",
    "sqlite": "SELECT w.conversation_id, w.outbox_id, {is_free} FROM {{rows}} CROSS JOIN deliveries w"
    " WHERE w.destination = {{destination}} AND w.outbox_id IN (SELECT w.outbox_id {following})",
}
_KINDS: Final = column_kinds(deliveries, "destination", "outbox_id", "due_at")
_LEASE: Final = BulkStatement(
    f"""
    UPDATE deliveries AS w SET due_at = {{lease_ends}} FROM {{rows}}
    WHERE w.destination = {{destination}} AND w.outbox_id = {{outbox_id}}
        AND (w.outcome IS NULL) IS TRUE AND {_IS_FREE}
    RETURNING outbox_id
    """,  # noqa: S608  # our own names
    {**_KINDS, "lease_ends": _KINDS["due_at"]},
)


@cache
def _runs(dialect: str, count: int) -> BulkStatement:
    """Return the query for *count* waiting deliveries of each conversation, after a given outbox id."""
    following = f"{OF_CONVERSATION} AND w.outbox_id > {{outbox_id}} {IN_ORDER} {count}"
    kinds = column_kinds(deliveries, "destination", "conversation_id", "outbox_id", "due_at")
    return BulkStatement(_RUNS[dialect].format(is_free=_IS_FREE, following=following), kinds)


@dataclass(frozen=True, slots=True)
class LeasedDelivery:
    """A delivery that this process has leased until *lease_us*, which its row contains as `due_at`."""

    message: WebhookMessage
    history: FailedAttempts
    lease_us: int


def find_unpaused(connection: Connection) -> list[str]:
    """Return the names of the destinations that are not paused."""
    return list(connection.execute(_UNPAUSED).scalars())


def lease(
    connection: Connection, destination: str, now_us: int, *, lease_us: int, conversations: int, events: int
) -> list[int]:
    """Lease about *events* deliveries of up to *conversations* conversations; return their outbox ids.

    A delivery is left out if it, or one before it in its conversation, waits for a retry or is leased
    elsewhere. Only ids and due times are read, so an unreadable row cannot block other rows. The lease begins
    when the transaction is committed, and ends at *lease_us*.
    """
    wanted = conversations
    locked: list[Row[Any]] = []
    while not locked:
        found = find_first(connection, destination, now_us, wanted)
        # First try the conversations whose first delivery is itself in the list. A recalled first delivery
        # can become due later than the deliveries that wait behind it.
        found.sort(key=lambda pair: pair[0] != pair[1])
        ids = list(dict.fromkeys(first_id for _, first_id in found))[:wanted]
        locked = lock(connection, destination, ids, now_us, conversations) if ids else []
        firsts = sum(outbox_id == first_id for outbox_id, first_id in found)
        if not locked and (wanted >= MAX_WALK or (firsts < wanted and len(found) < MAX_WALK)):
            return []
        # If none could be locked, another process has locked them all and might be frozen: search further.
        wanted *= 4
    count = max(1, events // len(locked))
    starts = [(destination, row.conversation_id, 0, now_us) for row in locked]
    return _lease_runs(connection, starts, count, lease_us)


def lease_more(
    connection: Connection, destination: str, last: LeasedDelivery, now_us: int, *, events: int
) -> list[int]:
    """Lease the deliveries after *last*, which is the last delivery of a run; return their outbox ids.

    They share the lease of *last*, and are sent only after all deliveries before them have ended.
    """
    start = (destination, last.message.conversation_id, last.message.outbox_id, now_us)
    return _lease_runs(connection, [start], events, last.lease_us)


def read_leased(connection: Connection, destination: str, outbox_ids: Sequence[int]) -> list[LeasedDelivery]:
    """Return the leased deliveries with the given ids and their messages, in the order of the ids."""
    return [
        LeasedDelivery(
            to_message(row),
            FailedAttempts(row.attempts, _to_us(row.first_attempt_at), _to_us(row.refused_at)),
            microseconds_of(row.due_at),
        )
        for row in connection.execute(_LEASED, {"name": destination, "ids": outbox_ids})
    ]


def _to_us(moment: datetime | None) -> int | None:
    return None if moment is None else microseconds_of(moment)


def to_message(row: Any) -> WebhookMessage:
    """Return the message of a row that has MESSAGE_COLUMNS."""
    return WebhookMessage(
        row.id,
        row.conversation_id,
        row.event_type,
        row.occurred_at,
        microseconds_of(row.created_at),
        late=bool(row.late),
        verified=row.verified,
        payload=row.body,
        is_lost=row.event_id is not None and row.body is None,
    )


def _lease_runs(
    connection: Connection, starts: Sequence[tuple[str, str, int, int]], count: int, lease_us: int
) -> list[int]:
    """Lease each conversation's deliveries up to the first that is not free; return their outbox ids.

    Each of *starts* contains the destination, conversation, outbox id after which to lease, and time.
    """
    (destination, _, _, now_us), *_ = starts
    rows = _runs(connection.dialect.name, count).execute(connection, starts)
    # Cut runs at deliveries that are not due: another process leased them before earlier ones came due again.
    free = _cut_runs((row[0], row[1], bool(row[2])) for row in rows)
    # Another process might have leased some of these deliveries after they were read.
    rows = _LEASE.execute(connection, [(destination, row[1], now_us, lease_us) for row in free])
    leased = {row[0] for row in rows}
    return [row[1] for row in _cut_runs((row[0], row[1], row[1] in leased) for row in free)]


def _cut_runs(rows: Iterable[tuple[str, int, bool]]) -> list[tuple[str, int]]:
    """Return each conversation's rows up to the first row that is not free, in the order of their ids."""
    kept: list[tuple[str, int]] = []
    for conversation_id, run in groupby(sorted(rows), key=lambda row: row[0]):
        for _, outbox_id, is_free in run:
            if not is_free:
                break
            kept.append((conversation_id, outbox_id))
    return kept
