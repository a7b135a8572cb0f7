"""Count what is not stored, by day and type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from workers.db.engine import insert_into
from workers.db.models import unstored_events

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

DAY_US: Final = 86_400_000_000

_COUNT: Final = insert_into(
    unstored_events,
    ("day", "event_type", "events"),
    "ON CONFLICT (day, event_type) DO UPDATE SET events = unstored_events.events + excluded.events",
)


def count_unstored(connection: Connection, counts: Mapping[str, int], now_us: int) -> None:
    """Add to the day's counts.

    Every worker has the same rows: call it last in the transaction, so that none waits for long.

    Args:
        connection: In a transaction.
        counts: By event type.
        now_us: Our time, microseconds since the epoch; its UTC day is counted for.
    """
    if counts:
        day_us = now_us - now_us % DAY_US
        _COUNT.execute(connection, [(day_us, kind, count) for kind, count in sorted(counts.items())])
