"""Look up to when events have had the time to come, at the broker and in processed_events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.reconcile.bounds import compared_to
from workers.tables import late_received_us, newest_received_us, transact

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from workers.reconcile.broker import EventsExchange


def reach_of(engine: Engine, exchange: EventsExchange, now_us: int, margin_us: int) -> int:
    """Return up to when is compared now, microseconds since the epoch; blocks for some seconds.

    Raises:
        BrokerUnavailableError, ConfigurationError: As `EventsExchange.waiting`.
        RetryLaterError: The database is away.
    """
    return compared_to(
        now_us,
        margin_us,
        waiting=exchange.waiting(),
        newest_received_us=transact(engine, newest_received_us),
        late_received_us=transact(engine, lambda connection: late_received_us(connection, now_us, margin_us)),
    )
