"""Know how much was processed in each minute of the last hour, without asking for a minute twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from statistics import quantiles
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, select, text, type_coerce
from sqlalchemy.exc import SQLAlchemyError

from workers.db.models import UtcDateTime, dead_letters, processed_events
from workers.observe.remembering import REMEMBERED_SECONDS, Remembered

if TYPE_CHECKING:
    from sqlalchemy import Column, ColumnElement, Connection, Engine

MINUTES: Final = 60

OPEN_MINUTES: Final = 2
"""So many minutes back a transaction may still commit; older minutes are not counted again."""

RECENT_EVENTS: Final = 200
"""Of so many newest events it is told how long they took."""

_P: Final = processed_events.c


class Flow:
    """The last hour, minute by minute.

    Args:
        engine: The database; where it is away the last that was known is told.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._minutes: dict[datetime, tuple[int, int]] = {}
        self._milliseconds: tuple[float, float] | None = None
        self._remembered = Remembered(self._look, REMEMBERED_SECONDS)

    def read(self) -> dict[str, Any]:
        """Return events and dead letters of each minute, and how long the newest events took."""
        return self._remembered.read()

    def _look(self) -> dict[str, Any]:
        now = datetime.now(UTC).replace(second=0, microsecond=0)
        minutes = [now - timedelta(minutes=back) for back in reversed(range(MINUTES))]
        try:
            with self._engine.connect() as connection:
                if connection.dialect.name == "postgresql":
                    # An index of ranges of pages (BRIN) has no other kind of scan.
                    connection.execute(text("SET LOCAL enable_bitmapscan = on"))
                self._count(connection, minutes)
                self._milliseconds = _times_of_newest(connection)
        except SQLAlchemyError:
            # The page says that the database is away, and shows the past meanwhile.
            pass
        median, most = self._milliseconds or (None, None)
        return {
            "minutes": [
                {"at": minute.isoformat(), "events": events, "dead_letters": dead}
                for minute in minutes
                for events, dead in [self._minutes.get(minute, (0, 0))]
            ],
            "median_ms": median,
            "p95_ms": most,
        }

    def _count(self, connection: Connection, minutes: list[datetime]) -> None:
        """Count the minutes that may have changed, or all at first; forget those that are over."""
        is_known = minutes[-OPEN_MINUTES - 1] in self._minutes
        since = minutes[-OPEN_MINUTES - 1] if is_known else minutes[0]
        events = _by_minute(connection, _P.processed_at, since)
        dead = _by_minute(connection, dead_letters.c.recorded_at, since)
        kept = {minute: self._minutes[minute] for minute in minutes if minute in self._minutes}
        fresh = {
            minute: (events.get(minute, 0), dead.get(minute, 0)) for minute in minutes if minute >= since
        }
        self._minutes = {**kept, **fresh}


def _by_minute(connection: Connection, moment: Column[Any], since: datetime) -> dict[datetime, int]:
    """Count a table's rows by minute; the index on *moment* bounds what is read."""
    minute = _minute_of(moment, connection.dialect.name)
    query = select(minute, func.count()).where(moment >= since).group_by(minute)
    return {found: int(count) for found, count in connection.execute(query)}


def _minute_of(moment: Column[Any], dialect: str) -> ColumnElement[datetime]:
    if dialect == "sqlite":
        return type_coerce(func.substr(moment, 1, 16) + ":00.000000", UtcDateTime())
    return func.date_trunc("minute", moment, type_=UtcDateTime())


def _times_of_newest(connection: Connection) -> tuple[float, float] | None:
    """Return median and 95th percentile, in milliseconds, from the edge to the transaction; None of none."""
    newest = select(_P.received_at, _P.processed_at).order_by(_P.id.desc()).limit(RECENT_EVENTS)
    times = [
        max(0.0, (processed - received).total_seconds() * 1000)
        for received, processed in connection.execute(newest)
    ]
    if len(times) < 2:
        return (times[0], times[0]) if times else None
    cuts = quantiles(times, n=20, method="inclusive")
    return round(cuts[9], 1), round(cuts[18], 1)
