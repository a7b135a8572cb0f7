"""Count how far settle and deliver are behind, up to a limit: a count costs the same at any backlog."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, select

from messaging.errors import RetryLaterError
from workers.db.engine import transact
from workers.db.models import conversations, deliveries, destinations, routing_updates
from workers.parsing import moment_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection, Engine, Select

    from messaging.clock import Clock
    from workers.scale.scaler import FleetLimits

CONVERSATIONS_PER_SETTLER: Final = 500
"""Due conversations that one process settles in about a second."""

DELIVERIES_PER_DELIVERER: Final = 100
"""Due deliveries of one destination that one process sends in about a second, at 100 ms for each request."""


def make_backlog_reader(
    count: Callable[[Connection, int, int], int], engine: Engine, clock: Clock, limits: FleetLimits
) -> Callable[[], int | None]:
    """Return a function that reads the backlog; it returns None while the database is away."""
    limit = limits.ceiling * limits.events_per_worker

    def read() -> int | None:
        try:
            return transact(engine, lambda connection: count(connection, clock.now_us(), limit))
        except RetryLaterError:
            return None

    return read


def count_due_conversations(connection: Connection, now_us: int, limit: int) -> int:
    """Return how many conversations and routing updates settle could process now, at most 2 * *limit*."""
    now = moment_of(now_us)
    windows = select(conversations.c.conversation_id).where(
        conversations.c.window_opened_at <= now, conversations.c.window_closes_at <= now
    )
    updates = select(routing_updates.c.event_id).where(
        routing_updates.c.decision.is_(None), routing_updates.c.next_attempt_at <= now
    )
    return _count(connection, windows, limit) + _count(connection, updates, limit)


def count_due_deliveries(connection: Connection, now_us: int, limit: int) -> int:
    """Return how many deliveries the busiest destination could be sent now, at most *limit*."""
    names = connection.scalars(select(destinations.c.name).where(destinations.c.paused_at.is_(None))).all()
    due = select(deliveries.c.outbox_id).where(
        deliveries.c.outcome.is_(None), deliveries.c.due_at <= moment_of(now_us)
    )
    counts = [_count(connection, due.where(deliveries.c.destination == name), limit) for name in names]
    return max(counts, default=0)


def _count(connection: Connection, rows: Select[Any], limit: int) -> int:
    return connection.execute(select(func.count()).select_from(rows.limit(limit).subquery())).scalar_one()
