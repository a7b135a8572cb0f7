"""Read recent activity for the status page: events per minute, edges, newest events and dead letters."""

from datetime import datetime, timedelta
from statistics import quantiles
from typing import Any, Final, TypeAlias

from sqlalchemy import Column, Connection, Engine, func, select, text

from messaging.clock import Clock
from workers.db.models import dead_letters, edge_statistics, processed_events
from workers.parsing import moment_of

MINUTES: Final = 60

OPEN_MINUTES: Final = 2
"""Transactions can still commit rows for the last two minutes; earlier minutes are counted only once."""

RECENT_EVENTS: Final = 200
"""Number of newest events from which the page's median and percentile are calculated."""

MAX_ROWS: Final = 50
"""How many of the newest events, and of the newest open dead letters, the page lists."""

EDGE_HOURS: Final = 24
"""The page lists the edges that answered in the last 24 hours, with their answers of the last ten minutes."""

EDGE_MINUTES: Final = 10

_P: Final = processed_events.c
_D: Final = dead_letters.c
_E: Final = edge_statistics.c

Activity: TypeAlias = dict[str, Any]
"""The page's data about recent activity, as JSON values without personal data."""


class ActivityReader:
    """Reads the activity, and caches the counts of minutes that cannot change. Only one thread may use it."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._closed: dict[datetime, tuple[int, int]] = {}

    def read(self) -> Activity:
        """Return the recent activity; blocks until the database answers, and raises its errors."""
        with self._engine.connect() as connection:
            # The clock has the database's time only once a connection is open.
            now = moment_of(self._clock.now_us())
            this_minute = now.replace(second=0, microsecond=0)
            minutes = [this_minute - timedelta(minutes=back) for back in reversed(range(MINUTES))]
            if connection.dialect.name == "postgresql":
                # The BRIN indexes, which summarise ranges of pages, support only bitmap scans.
                connection.execute(text("SET LOCAL enable_bitmapscan = on"))
            counts = self._count(connection, minutes)
            median, p95 = _measure_durations(connection)
            return {
                "minutes": [
                    {"at": minute.isoformat(), "events": events, "dead_letters": dead}
                    for minute, (events, dead) in counts.items()
                ],
                "median_ms": median,
                "p95_ms": p95,
                "edges": _read_edges(connection, now),
                "events": _read_events(connection),
                "dead_letters": _read_dead_letters(connection),
            }

    def _count(self, connection: Connection, minutes: list[datetime]) -> dict[datetime, tuple[int, int]]:
        """Return each minute's number of events and dead letters; closed minutes are counted only once.

        Each minute has its own statements. If one fails, the next call need not count earlier minutes again.
        """
        self._closed = {minute: self._closed[minute] for minute in minutes if minute in self._closed}
        counts = {}
        for minute in minutes:
            counts[minute] = self._closed.get(minute) or (
                _count_rows(connection, _P.processed_at, minute),
                _count_rows(connection, _D.recorded_at, minute),
            )
            if minute < minutes[-OPEN_MINUTES - 1]:
                self._closed[minute] = counts[minute]
        return counts


def _count_rows(connection: Connection, moment: Column[Any], minute: datetime) -> int:
    """Count a table's rows from one minute; the index on *moment* limits how many other rows are read."""
    rows = select(func.count()).where(moment >= minute, moment < minute + timedelta(minutes=1))
    return connection.execute(rows).scalar_one()


def _measure_durations(connection: Connection) -> tuple[float | None, float | None]:
    """Return the median and 95th percentile of the newest events' time from edge to commit, in ms."""
    newest = select(_P.received_at, _P.processed_at).order_by(_P.id.desc()).limit(RECENT_EVENTS)
    times = [
        max(0.0, (processed - received).total_seconds() * 1000)
        for received, processed in connection.execute(newest)
    ]
    if not times:
        return None, None
    cuts = quantiles([*times, times[-1]], n=20, method="inclusive")
    return round(cuts[9], 1), round(cuts[18], 1)


def _read_edges(connection: Connection, now: datetime) -> list[dict[str, Any]]:
    """Return each host's edge, its answers in the last EDGE_MINUTES, and the time since its last answer."""
    is_recent = _E.began_at >= now - timedelta(minutes=EDGE_MINUTES)
    refused = _E.status_401 + _E.status_413 + _E.status_429 + _E.status_503 + _E.other_refusals
    counts = [
        func.coalesce(func.sum(column).filter(is_recent), 0)
        for column in (_E.answered, _E.within_100_ms, refused, _E.status_401)
    ]
    query = select(_E.edge, func.max(_E.began_at), *counts).group_by(_E.edge).order_by(_E.edge)
    recent = query.where(_E.began_at >= now - timedelta(hours=EDGE_HOURS))
    return [
        {
            "edge": edge,
            "answered": int(answered),
            "percent_within_100_ms": 100 * int(soon) / int(answered) if answered else None,
            "refused": int(refused),
            "unauthorised": int(unauthorised),
            "last_s": max(0.0, (now - last).total_seconds()),
        }
        for edge, last, answered, soon, refused, unauthorised in connection.execute(recent)
    ]


def _read_events(connection: Connection) -> list[dict[str, Any]]:
    query = select(_P.processed_at, _P.event_type, _P.outcome, _P.message_id).order_by(_P.id.desc())
    return [
        {"at": row[0].isoformat(), "type": row[1], "outcome": row[2], "id": row[3]}
        for row in connection.execute(query.limit(MAX_ROWS))
    ]


def _read_dead_letters(connection: Connection) -> list[dict[str, Any]]:
    """Return the newest open dead letters. The query reads few rows, because they have their own index."""
    query = select(_D.recorded_at, _D.code, _D.message_id).where(_D.decided_at.is_(None))
    newest = query.order_by(_D.recorded_at.desc(), _D.message_id.desc()).limit(MAX_ROWS)
    return [{"at": row[0].isoformat(), "code": row[1], "id": row[2]} for row in connection.execute(newest)]
