"""Take what is due for a destination, and write what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import exists, or_, select, update

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

MAX_RUN: Final = 100
"""Events of one conversation that are taken at a time at most: they are sent one after the other."""

RUN_SHARE: Final = 10
"""Events of each conversation that are taken at a time if many conversations wait."""

WALK_SHARE: Final = 4
MAX_WALK: Final = 1_000
"""How many due deliveries are looked at, four times as many each time, to find the first ones of as many
conversations as wanted. If that does not suffice, those that wait behind another are in the way: they are
parked."""

PARKED: Final = datetime(9999, 1, 1, tzinfo=UTC)
"""The due time of a delivery that waits behind another of its conversation, and shall not be looked at before
that has ended. Only the process that holds the lock of the first one parks, and whoever finishes the first
one recalls the next, in the same transaction: so no conversation is left with a parked first delivery."""

DELIVERED: Final = "delivered"
DEAD: Final = "dead"

_D: Final = deliveries.c
# IS TRUE: no partial index may offer itself, by which all of a backlog would be compared with each row.
_WAITS: Final = _D.outcome.is_(None).is_(True)
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

# IS TRUE for the same reason as above.
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


_JOINED: Final = {
    "postgresql": "SELECT f.outbox_id FROM {{rows}} CROSS JOIN LATERAL ({first}) AS f",
    "sqlite": "SELECT d.outbox_id FROM {{rows}} CROSS JOIN deliveries d"
    " WHERE d.destination = {{destination}} AND d.outbox_id IN ({first})",
}


@cache
def _runs(dialect: str, most: int) -> RowStatement:
    """Return the query for the first waiting deliveries of conversations, *most* of each at most."""
    first = f"""
        SELECT w.outbox_id FROM deliveries w WHERE w.destination = {{destination}}
            AND w.conversation_id >= {{conversation_id}} AND w.conversation_id <= {{conversation_id}}
            AND w.outcome IS NULL
        ORDER BY w.conversation_id, w.outbox_id LIMIT {most}
        """  # noqa: S608  # a number of ours
    kinds = kinds_of(deliveries, "destination", "conversation_id")
    return RowStatement(_JOINED[dialect].format(first=first), kinds)


_OF_CONVERSATION: Final = """
    FROM deliveries w WHERE w.destination = {destination} AND w.outcome IS NULL
        AND w.conversation_id >= {conversation_id} AND w.conversation_id <= {conversation_id}
    ORDER BY w.conversation_id, w.outbox_id LIMIT 1"""
# A range, not "=": the primary key has the order of the ids as well, and PostgreSQL would read it from its
# beginning if many of its rows are of the conversation.
_FIRST: Final = RowStatement(
    f"SELECT {{conversation_id}}, (SELECT w.outbox_id {_OF_CONVERSATION}) FROM {{rows}}",  # noqa: S608  # ours
    kinds_of(deliveries, "destination", "conversation_id"),
)
_PARKED_FIRST: Final = RowStatement(
    f"""SELECT {{destination}}, (SELECT CASE WHEN w.due_at > '9000-01-01' THEN w.outbox_id END
        {_OF_CONVERSATION}) FROM {{rows}}""",  # noqa: S608  # ours
    kinds_of(deliveries, "destination", "conversation_id"),
)


class Due(NamedTuple):
    """A delivery that is due, and the first one that waits in its conversation."""

    outbox_id: int
    head_id: int


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
    found = _walk_to_heads(connection, destination, now_us, limit)
    # A first delivery that was recalled may have become due after what waits behind it: it is not in found.
    first = [row.head_id for row in found if row.outbox_id == row.head_id]
    due = list(dict.fromkeys([*first, *(row.head_id for row in found)]))[:limit]
    heads = [head[1:] for head in _lock(connection, destination, due, now_us)]
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


def finish(connection: Connection, rows: Sequence[tuple[object, ...]]) -> set[tuple[int, str]]:
    """Write how deliveries ended, values as the columns of the statement above.

    Returns:
        Outbox id and destination of those that nobody had finished yet.
    """
    return {(outbox_id, destination) for outbox_id, destination in _FINISH.execute(connection, rows)}


def recall_parked(connection: Connection, conversations: Sequence[tuple[str, str]], now_us: int) -> None:
    """Let the first waiting delivery of conversations be due, if it is parked.

    Args:
        connection: In the transaction that ended what came before it.
        conversations: Destination and conversation id.
        now_us: The database's clock, microseconds since the epoch.
    """
    if not conversations:
        return
    for destination, outbox_id in _PARKED_FIRST.execute(connection, conversations):
        if outbox_id is not None:
            first = (_D.destination == destination) & (_D.outbox_id == outbox_id) & (_D.due_at == PARKED)
            connection.execute(update(deliveries).where(first).values(due_at=moment_of(now_us)))


def put_off(
    connection: Connection,
    destination: str,
    failed: Taken,
    rest: Sequence[int],
    due_us: int,
    **noted: object,
) -> None:
    """Let a run wait until *due_us*, as far as it is still ours.

    Args:
        connection: In a transaction.
        destination: The destination.
        failed: The delivery that the others wait for.
        rest: Outbox ids of the failed delivery and of those that follow it in the run.
        due_us: Microseconds since the epoch.
        noted: Columns to write of the failed one.
    """
    mine = update(deliveries).where(
        _D.destination == destination, _WAITS, _D.due_at == moment_of(failed.lease_us)
    )
    if noted:
        connection.execute(mine.where(_D.outbox_id == failed.message.outbox_id).values(**noted))
    connection.execute(mine.where(_D.outbox_id.in_(rest)).values(due_at=moment_of(due_us)))


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


def _walk_to_heads(connection: Connection, destination: str, now_us: int, limit: int) -> list[Due]:
    """Return due deliveries, *limit* of which come first in their conversations if there are as many."""
    most = WALK_SHARE * limit
    while True:
        found = _walk(connection, destination, now_us, most)
        if len(found) < most or sum(row.outbox_id == row.head_id for row in found) >= limit:
            return found
        if most >= MAX_WALK:
            _park(connection, destination, found)
            return found
        most *= WALK_SHARE


def _walk(connection: Connection, destination: str, now_us: int, most: int) -> list[Due]:
    """Return deliveries in the order in which they became due, each with the first of its conversation."""
    query = (
        select(_D.conversation_id, _D.outbox_id)
        .where(_D.destination == destination, _D.outcome.is_(None), _D.due_at <= moment_of(now_us))
        .order_by(_D.due_at)
        .limit(most)
    )
    due = [(row[0], row[1]) for row in connection.execute(query)]
    if not due:
        return []
    conversations = [
        (destination, conversation_id) for conversation_id in dict.fromkeys(row[0] for row in due)
    ]
    heads: dict[str, int] = {row[0]: row[1] for row in _FIRST.execute(connection, conversations)}
    return [Due(outbox_id, heads[conversation_id]) for conversation_id, outbox_id in due]


def _park(connection: Connection, destination: str, found: Sequence[Due]) -> None:
    """Park the deliveries that wait behind another, as far as no other process works on that one."""
    heads = {row.head_id for row in found if row.outbox_id != row.head_id}
    locked = {row[0] for row in _lock(connection, destination, sorted(heads), None)}
    behind = [row.outbox_id for row in found if row.outbox_id != row.head_id and row.head_id in locked]
    park = update(deliveries).where(_D.destination == destination, _WAITS, _D.outbox_id.in_(behind))
    connection.execute(park.values(due_at=PARKED))


def _lock(
    connection: Connection, destination: str, outbox_ids: Sequence[int], due_us: int | None
) -> list[tuple[int, str, str]]:
    """Lock waiting deliveries; return outbox id, destination and conversation of those that could be."""
    query = (
        select(_D.outbox_id, _D.destination, _D.conversation_id)
        .where(_D.destination == destination, _WAITS, _D.outbox_id.in_(outbox_ids))
        .order_by(_D.due_at)
        .with_for_update(skip_locked=True)
    )
    if due_us is not None:
        query = query.where(_D.due_at <= moment_of(due_us))
    return [(row[0], row[1], row[2]) for row in connection.execute(query)]


def _rows_of(connection: Connection, destination: str, outbox_ids: Sequence[int]) -> list[Row[Any]]:
    """Return waiting deliveries with their messages, in the order of their ids."""
    query = (
        select(*MESSAGE_COLUMNS, _D.attempts, _D.first_attempt_at, _D.refused_at, _D.due_at)
        .select_from(deliveries)
        .join(outbox, _O.id == _D.outbox_id)
        .outerjoin(event_payloads, event_payloads.c.event_id == _O.event_id)
        .where(_D.destination == destination, _WAITS, _D.outbox_id.in_(outbox_ids))
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
    is_free = _WAITS & or_(_D.due_at <= moment_of(now_us), _D.due_at == PARKED)
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
