"""Take what is due for a destination, and write what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import exists, func, select, update

from workers.deliver.message import Message
from workers.parsing import microseconds_of, moment_of
from workers.tables import (
    RowStatement,
    deliveries,
    destinations,
    event_payloads,
    kinds_of,
    outbox,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sqlalchemy import Connection, Row

MOST_OF_ONE: Final = 10
"""Events of one conversation that are taken at a time: they are sent one after the other."""

DELIVERED: Final = "delivered"
DEAD: Final = "dead"

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
"""What a message is made of."""

# IS TRUE: no partial index may offer itself, by which all of a backlog would be compared with each row.
_FINISH: Final = RowStatement(
    """
    UPDATE deliveries SET outcome = {outcome}, status = {status}, reason = {reason},
        attempts = {attempts}, first_attempt_at = {first_attempt_at}, finished_at = {finished_at},
        due_at = {due_at}
    FROM {rows} WHERE deliveries.outbox_id = {outbox_id} AND deliveries.destination = {destination}
        AND (deliveries.outcome IS NULL) IS TRUE
    RETURNING deliveries.outbox_id, deliveries.destination
    """,
    kinds_of(
        deliveries,
        "outbox_id",
        "destination",
        "outcome",
        "status",
        "reason",
        "attempts",
        "first_attempt_at",
        "finished_at",
        "due_at",
    ),
)


@dataclass(frozen=True, slots=True)
class Taken:
    """A delivery that is ours until the lease ends.

    Args:
        message: What is told.
        attempts: How many have failed so far.
        first_attempt_us: When the first of them failed; None before.
        lease_us: Until when nobody else tries; it is the mark by which the rows are known as ours, too.
    """

    message: Message
    attempts: int
    first_attempt_us: int | None
    lease_us: int


def with_work(connection: Connection, names: Iterable[str], now_us: int) -> list[str]:
    """Return which of the destinations have something due and are not paused."""
    due = exists().where(
        _D.destination == destinations.c.name, _D.outcome.is_(None), _D.due_at <= moment_of(now_us)
    )
    query = select(destinations.c.name).where(
        destinations.c.name.in_(names), destinations.c.paused_at.is_(None), due
    )
    return list(connection.execute(query).scalars())


def take(
    connection: Connection, destination: str, now_us: int, *, lease_us: int, limit: int
) -> list[list[Taken]]:
    """Lease the next deliveries of up to *limit* conversations, each list in its conversation's order.

    What follows an event that waits is not taken before it, nor what follows one that another process has: an
    earlier one that is sent again is taken alone then. What another process is taking is left to it.

    Args:
        connection: In a transaction; the lease is had when it is committed.
        destination: For whom.
        now_us: Our clock, microseconds since the epoch.
        lease_us: When the lease ends.
        limit: How many conversations at most.
    """
    heads = _lock_heads(connection, destination, now_us, limit)
    if not heads:
        return []
    # Not due behind a head that is: another process has it, since before the head was to be sent again.
    rows = _unbroken(
        _rows_of(connection, destination, heads), lambda row: microseconds_of(row.due_at) <= now_us
    )
    leased = _lease(connection, destination, [row.id for row in rows], now_us, lease_us)
    runs: dict[str, list[Taken]] = {}
    for row in _unbroken(rows, lambda row: row.id in leased):
        runs.setdefault(row.conversation_id, []).append(_taken(row, lease_us))
    return list(runs.values())


def finish(connection: Connection, rows: Sequence[tuple[object, ...]]) -> set[tuple[int, str]]:
    """Write how deliveries ended, values as the columns of the statement above.

    Returns:
        Outbox id and destination of those that nobody had finished yet.
    """
    return {(outbox_id, destination) for outbox_id, destination in _FINISH.execute(connection, rows)}


def put_off(connection: Connection, destination: str, failed: Taken, due_us: int, **noted: object) -> None:
    """Let a conversation wait until *due_us*: what we have leased, and what has to wait behind it.

    Of others' leases, which they have where ours ran out, none becomes shorter.

    Args:
        connection: In a transaction.
        destination: For whom.
        failed: The delivery that the others wait for.
        due_us: Microseconds since the epoch.
        noted: Columns to write of the failed one, while it is ours.
    """
    lease, due = moment_of(failed.lease_us), moment_of(due_us)
    waiting = update(deliveries).where(_D.destination == destination, _D.outcome.is_(None))
    if noted:
        mine = waiting.where(_D.outbox_id == failed.message.outbox_id, _D.due_at == lease)
        connection.execute(mine.values(**noted))
    conversation = waiting.where(_D.conversation_id == failed.message.conversation_id)
    connection.execute(conversation.where((_D.due_at == lease) | (_D.due_at < due)).values(due_at=due))


def message_of(row: Row[Any]) -> Message:
    """Make a message of a row that has MESSAGE_COLUMNS."""
    return Message(
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


def _lock_heads(connection: Connection, destination: str, now_us: int, limit: int) -> list[str]:
    """Lock the first waiting delivery of conversations where it is due."""
    head, waiting = deliveries.alias("head"), deliveries.alias("waiting")
    # Each in the order of an index: whatever is known of the tables, no plan is cheaper than to read it so.
    first = (
        select(waiting.c.outbox_id)
        .where(waiting.c.destination == destination, waiting.c.outcome.is_(None))
        .where(waiting.c.conversation_id == head.c.conversation_id)
        .order_by(waiting.c.outbox_id)
        .limit(1)
    )
    query = (
        select(head.c.conversation_id)
        .where(head.c.destination == destination, head.c.outcome.is_(None))
        .where(head.c.due_at <= moment_of(now_us), head.c.outbox_id == first.scalar_subquery())
        .order_by(head.c.due_at)
        .limit(limit)
        .with_for_update(of=head, skip_locked=True)
    )
    return list(connection.execute(query).scalars())


def _rows_of(connection: Connection, destination: str, conversation_ids: Sequence[str]) -> list[Row[Any]]:
    """Return the first waiting deliveries of each conversation, with all that is told."""
    place = func.row_number().over(partition_by=_D.conversation_id, order_by=_D.outbox_id).label("place")
    waiting = (
        select(_D.outbox_id, _D.attempts, _D.first_attempt_at, _D.due_at, place)
        .where(_D.destination == destination, _D.outcome.is_(None), _D.conversation_id.in_(conversation_ids))
        .subquery("waiting")
    )
    query = (
        select(*MESSAGE_COLUMNS, waiting.c.attempts, waiting.c.first_attempt_at, waiting.c.due_at)
        .select_from(waiting)
        .join(outbox, _O.id == waiting.c.outbox_id)
        .outerjoin(event_payloads, event_payloads.c.event_id == _O.event_id)
        .where(waiting.c.place <= MOST_OF_ONE)
        .order_by(_O.id)
    )
    return list(connection.execute(query))


def _unbroken(rows: Sequence[Row[Any]], may_be_taken: Callable[[Row[Any]], bool]) -> list[Row[Any]]:
    """Return of each conversation the rows before the first one that may not be taken."""
    broken = set()
    unbroken = []
    for row in rows:
        if not may_be_taken(row):
            broken.add(row.conversation_id)
        if row.conversation_id not in broken:
            unbroken.append(row)
    return unbroken


def _lease(
    connection: Connection, destination: str, outbox_ids: Sequence[int], now_us: int, lease_us: int
) -> set[int]:
    """Lease deliveries; return which we have: another process may have taken some since they were read."""
    is_free = _D.outcome.is_(None) & (_D.due_at <= moment_of(now_us))
    lease = (
        update(deliveries)
        .where(_D.destination == destination, _D.outbox_id.in_(outbox_ids), is_free)
        .values(due_at=moment_of(lease_us))
        .returning(_D.outbox_id)
    )
    return set(connection.execute(lease).scalars())


def _taken(row: Row[Any], lease_us: int) -> Taken:
    first = row.first_attempt_at
    return Taken(message_of(row), row.attempts, microseconds_of(first) if first else None, lease_us)
