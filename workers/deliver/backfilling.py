"""Plan deliveries that were never planned, and end deliveries that nobody wants any more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import exists, func, literal, or_, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from workers.db.models import deliveries, event_payloads, outbox, subscriptions
from workers.deliver.heads import recall_parked
from workers.parsing import moment_of

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection

AT_ONCE: Final = 500
"""Deliveries of one transaction: deliver processes have their turn between two."""

ABANDONED: Final = "abandoned"

_INSERT: Final[Any] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}

_D: Final = deliveries.c
_O: Final = outbox.c


def newest_entry(connection: Connection) -> int:
    """Return the id of the newest entry of the outbox; 0 if there is none."""
    return connection.scalar(select(func.max(_O.id))) or 0


def count_unplanned(connection: Connection, name: str, since: datetime, through: int) -> int:
    """Return how many entries of the outbox have no delivery for a destination that is subscribed to them."""
    return connection.scalar(select(func.count()).where(_is_unplanned(name, since, through))) or 0


def plan_some(connection: Connection, name: str, since: datetime, through: int, now_us: int) -> int:
    """Plan some of these deliveries, the oldest first; return how many. Call again until it returns 0."""
    some = (
        select(
            _O.id, literal(name), _O.conversation_id, literal(moment_of(now_us), _D.due_at.type), literal(0)
        )
        .where(_is_unplanned(name, since, through))
        .order_by(_O.id)
        .limit(AT_ONCE)
    )
    columns = ["outbox_id", "destination", "conversation_id", "due_at", "attempts"]
    insert = _INSERT[connection.dialect.name](deliveries).from_select(columns, some)
    plan = insert.on_conflict_do_nothing().returning(_D.outbox_id)
    while True:
        planned = len(connection.execute(plan).all())
        # If another backfill has planned all of them meanwhile, it has committed: others are chosen now.
        if planned or not count_unplanned(connection, name, since, through):
            return planned


def count_waiting(connection: Connection, name: str, through: int) -> int:
    """Return how many deliveries wait for a destination, of entries up to *through*."""
    return connection.scalar(select(func.count()).where(_waits(name), _D.outbox_id <= through)) or 0


def abandon_some(connection: Connection, name: str, through: int, now_us: int) -> int:
    """End some deliveries that wait for a destination; return how many. Call again until it returns 0."""
    return _abandon(connection, _waits(name) & (_D.outbox_id <= through), now_us)


def abandon_old(connection: Connection, created_before: datetime, now_us: int) -> int:
    """End some deliveries that have waited since before then; return how many. Call again until 0."""
    is_old = exists().where(_O.id == _D.outbox_id, _O.created_at < created_before)
    return _abandon(connection, _D.outcome.is_(None) & is_old, now_us)


def _abandon(connection: Connection, condition: ColumnElement[bool], now_us: int) -> int:
    some = select(_D.outbox_id, _D.destination).where(condition).limit(AT_ONCE)
    keys = [(row[0], row[1]) for row in connection.execute(some)]
    if not keys:
        return 0
    abandoned = (
        update(deliveries)
        .where(tuple_(_D.outbox_id, _D.destination).in_(keys), _D.outcome.is_(None).is_(True))
        .values(outcome=ABANDONED, finished_at=moment_of(now_us))
        .returning(_D.destination, _D.conversation_id)
    )
    ended: set[Any] = {(row[0], row[1]) for row in connection.execute(abandoned)}
    recall_parked(connection, sorted(ended), now_us)
    return len(keys)


def _waits(name: str) -> ColumnElement[bool]:
    return (_D.destination == name) & _D.outcome.is_(None)


def _is_unplanned(name: str, since: datetime, through: int) -> ColumnElement[bool]:
    """Return the condition of an entry; without its body there is nothing to send."""
    has_body = or_(_O.event_id.is_(None), exists().where(event_payloads.c.event_id == _O.event_id))
    is_subscribed = exists().where(
        subscriptions.c.destination == name, subscriptions.c.event_type == _O.event_type
    )
    is_planned = exists().where(_D.outbox_id == _O.id, _D.destination == name)
    return (_O.created_at >= since) & (_O.id <= through) & has_body & is_subscribed & ~is_planned
