"""Lease the deliveries that are due for a destination, in the order of each conversation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import exists, or_, select, update

from workers.db.engine import BulkStatement, column_kinds
from workers.db.models import deliveries, destinations, event_payloads, outbox
from workers.deliver.heads import PARKED, WAITS, find_heads, lock
from workers.deliver.message import Message
from workers.parsing import microseconds_of, moment_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sqlalchemy import Connection, Row

MAX_RUN: Final = 100
"""Events of one conversation that are taken at a time at most: they are sent one after the other."""

RUN_SHARE: Final = 10
"""Events of each conversation that are taken at a time if many conversations wait."""

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

_JOINED: Final = {
    "postgresql": "SELECT f.outbox_id FROM {{rows}} CROSS JOIN LATERAL ({first}) AS f",
    "sqlite": "SELECT d.outbox_id FROM {{rows}} CROSS JOIN deliveries d"
    " WHERE d.destination = {{destination}} AND d.outbox_id IN ({first})",
}


@cache
def _runs(dialect: str, most: int) -> BulkStatement:
    """Return the query for the first waiting deliveries of conversations, *most* of each at most."""
    first = f"""
        SELECT w.outbox_id FROM deliveries w WHERE w.destination = {{destination}}
            AND w.conversation_id >= {{conversation_id}} AND w.conversation_id <= {{conversation_id}}
            AND w.outcome IS NULL
        ORDER BY w.conversation_id, w.outbox_id LIMIT {most}
        """  # noqa: S608  # a number of ours
    kinds = column_kinds(deliveries, "destination", "conversation_id")
    return BulkStatement(_JOINED[dialect].format(first=first), kinds)


@dataclass(frozen=True, slots=True)
class Taken:
    """A delivery that is ours until the lease ends.

    Args:
        message: What is told.
        attempts: How many have failed so far.
        first_attempt_us: When the first of them failed; None before.
        lease_us: Until when no other process tries; also the mark by which the rows are known as ours.
        refused_us: When the destination first gave it an answer that may concern every event.
    """

    message: Message
    attempts: int
    first_attempt_us: int | None
    lease_us: int
    refused_us: int | None = None


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
    found = find_heads(connection, destination, now_us, limit)
    # A first delivery that was recalled may have become due after what waits behind it: it is not in found.
    first = [row.head_id for row in found if row.outbox_id == row.head_id]
    due = list(dict.fromkeys([*first, *(row.head_id for row in found)]))[:limit]
    heads = [head[1:] for head in lock(connection, destination, due, now_us)]
    if not heads:
        return []
    share = min(MAX_RUN, max(RUN_SHARE, RUN_SHARE * limit // len(heads)))
    ids = [row[0] for row in _runs(connection.dialect.name, share).execute(connection, heads)]
    # If a later one is not due, another process has it, since before an earlier one was to be sent again.
    rows = _unbroken(_rows_of(connection, destination, ids), lambda row: _may_be_taken(row, now_us))
    leased = _lease(connection, destination, [row.id for row in rows], now_us, lease_us)
    runs: dict[str, list[Taken]] = {}
    for row in _unbroken(rows, lambda row: row.id in leased):
        runs.setdefault(row.conversation_id, []).append(_taken(row, lease_us))
    return list(runs.values())


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


def _rows_of(connection: Connection, destination: str, outbox_ids: Sequence[int]) -> list[Row[Any]]:
    """Return waiting deliveries with their messages, in the order of their ids."""
    query = (
        select(*MESSAGE_COLUMNS, _D.attempts, _D.first_attempt_at, _D.refused_at, _D.due_at)
        .select_from(deliveries)
        .join(outbox, _O.id == _D.outbox_id)
        .outerjoin(event_payloads, event_payloads.c.event_id == _O.event_id)
        .where(_D.destination == destination, WAITS, _D.outbox_id.in_(outbox_ids))
        .order_by(_O.id)
    )
    return list(connection.execute(query))


def _may_be_taken(row: Row[Any], now_us: int) -> bool:
    return row.due_at == PARKED or microseconds_of(row.due_at) <= now_us


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
    is_free = WAITS & or_(_D.due_at <= moment_of(now_us), _D.due_at == PARKED)
    lease = (
        update(deliveries)
        .where(_D.destination == destination, _D.outbox_id.in_(outbox_ids), is_free)
        .values(due_at=moment_of(lease_us))
        .returning(_D.outbox_id)
    )
    return set(connection.execute(lease).scalars())


def _taken(row: Row[Any], lease_us: int) -> Taken:
    first, refused = (
        microseconds_of(moment) if moment else None for moment in (row.first_attempt_at, row.refused_at)
    )
    return Taken(message_of(row), row.attempts, first, lease_us, refused)
