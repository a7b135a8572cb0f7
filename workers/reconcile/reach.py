"""Look up to when events have had the time to come, at the broker and in processed_events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.db.engine import transact
from workers.db.reconcile import recent_arrivals
from workers.reconcile.bounds import DAY_US, HORIZON_DAYS, compared_to

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from workers.reconcile.broker import EventsExchange


def reach_of(engine: Engine, exchange: EventsExchange, now_us: int, margin_us: int) -> int:
    """Return up to when is compared now, microseconds since the epoch; blocks for some seconds.

    Raises:
        RetryLaterError: The database or the broker is away.
    """
    arrivals = transact(
        engine, lambda connection: recent_arrivals(connection, now_us, margin_us, HORIZON_DAYS * DAY_US)
    )
    return compared_to(now_us, margin_us, waiting=exchange.waiting(), arrivals=arrivals)
