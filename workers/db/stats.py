"""Record and read statistics: the edges' answers, the workers' reports and the platform's notifications."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, TypeAlias

from sqlalchemy import Connection, delete, func, select, text

from workers.db.engine import insert_into
from workers.db.models import edge_statistics, worker_reports
from workers.parsing import moment_of

REPORT_SECONDS: Final = 10.0
"""Interval between a worker's reports: shorter than Prometheus's scrape interval; the load is negligible."""

SILENT_SECONDS: Final = 60.0
"""A worker that has not reported for this long is silent: it ended, hangs, or cannot reach the database."""

FORGOTTEN_SECONDS: Final = 3600.0
"""A silent worker's report is deleted after this time, because the worker is not expected to return."""

CLOCK_AHEAD: Final = "clock_ahead"
"""Name of the figure that shows how many seconds a worker's host clock is ahead of the database's clock."""

Figures: TypeAlias = "Mapping[str, float | Mapping[str, float]]"
"""A worker's counts by name. Each value is a number, or numbers by key, for example by destination."""

ANSWERED: Final = "answered"
WITHIN: Final = {
    0.01: "within_10_ms",
    0.1: "within_100_ms",
    1.0: "within_1_s",
    3.0: "within_3_s",
    10.0: "within_10_s",
}
"""Maps each bound of the edge's answer times, in seconds, to a column of `edge_statistics`."""
REFUSALS: Final = {
    "401": "status_401",
    "413": "status_413",
    "429": "status_429",
    "503": "status_503",
    "other": "other_refusals",
}
"""Maps the statuses of refusals to columns of `edge_statistics`; the edge sends 429 and 503 under load."""

_E: Final = edge_statistics.c
_W: Final = worker_reports.c

_RECORD_WORKER: Final = insert_into(
    worker_reports,
    ("role", "worker", "started_at", "reported_at", "figures"),
    """
    ON CONFLICT (role, worker) DO UPDATE SET started_at = excluded.started_at,
        reported_at = excluded.reported_at, figures = excluded.figures
    """,
)
_DAYS: Final = text(
    "SELECT day, notified, repeated, recovered, dead_letters,"
    " EXISTS (SELECT 1 FROM reconciliations WHERE started_by = 'timer' AND finished_at IS NOT NULL)"
    " FROM notification_statistics_v1 WHERE day >= :since ORDER BY day"
)


@dataclass(frozen=True, slots=True)
class Acknowledgements:
    """The sums over all edge processes: answers with status 200, in total and by time bound, and refusals."""

    answered: int
    within: dict[float, int]
    longest_s: float | None
    refused: dict[str, int]

    def percent_within(self, seconds: float) -> float | None:
        """Return the percentage of answers within a time bound; None if there were no answers."""
        return 100.0 * self.within[seconds] / self.answered if self.answered else None


def read_acknowledgements(connection: Connection, since: datetime) -> Acknowledgements:
    """Return the sums of the edges' answers in the intervals that began at *since* or later."""
    names = (ANSWERED, *WITHIN.values(), *REFUSALS.values())
    sums = [func.coalesce(func.sum(_E[name]), 0).label(name) for name in names]
    query = select(func.max(_E.longest_us).label("longest_us"), *sums).where(_E.began_at >= since)
    row = connection.execute(query).mappings().one()
    return Acknowledgements(
        int(row[ANSWERED]),
        {seconds: int(row[column]) for seconds, column in WITHIN.items()},
        None if row["longest_us"] is None else row["longest_us"] / 1_000_000,
        {status: int(row[column]) for status, column in REFUSALS.items()},
    )


@dataclass(frozen=True, slots=True)
class Notifications:
    """How the platform's events arrived on a UTC day; *day* is "all" for the sum of several days.

    Webhooks delivered the `notified` events, each counted once, and `repeated` copies. The `recovered` events
    were found in the platform's history. `is_compared` is true if any comparison by the timer is done.
    """

    day: str
    notified: int
    repeated: int
    recovered: int
    dead_letters: int
    is_compared: bool = field(kw_only=True)

    @property
    def success_percent(self) -> float | None:
        """The percentage of the platform's events that a webhook delivered; None if that is unknown."""
        arrived = self.notified + self.dead_letters
        is_known = self.recovered or (self.is_compared and arrived)
        return 100.0 * arrived / (arrived + self.recovered) if is_known else None


def read_notifications(connection: Connection, since: str) -> list[Notifications]:
    """Return the figures of each day with events, from *since* on; blocks while it reads all days' events."""
    rows = connection.execute(_DAYS, {"since": since})
    return [Notifications(day, *map(int, counts), is_compared=bool(known)) for day, *counts, known in rows]


def sum_notifications(days: Sequence[Notifications]) -> Notifications:
    """Return the notifications of several days together."""
    names = ("notified", "repeated", "recovered", "dead_letters")
    sums = (sum(getattr(day, name) for day in days) for name in names)
    return Notifications("all", *sums, is_compared=any(day.is_compared for day in days))


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """A worker's last report, with its counts since that worker started; `worker` is its host and name."""

    role: str
    worker: str
    started_at: datetime
    reported_at: datetime
    figures: Figures

    def is_silent(self, now: datetime) -> bool:
        """Return whether the worker's next report is overdue at *now*."""
        return (now - self.reported_at).total_seconds() > SILENT_SECONDS


def record_worker_report(
    connection: Connection, role: str, worker: str, *, started_us: int, now_us: int, figures: Figures
) -> None:
    """Record a worker's report, and delete the reports of workers that were silent for FORGOTTEN_SECONDS."""
    _RECORD_WORKER.execute(connection, [(role, worker, started_us, now_us, json.dumps(figures))])
    oldest = moment_of(now_us - round(FORGOTTEN_SECONDS * 1_000_000))
    connection.execute(delete(worker_reports).where(_W.reported_at < oldest))


def delete_worker_report(connection: Connection, role: str, worker: str) -> None:
    """Delete the report of a worker that is stopping."""
    connection.execute(delete(worker_reports).where(_W.role == role, _W.worker == worker))


def read_worker_reports(connection: Connection) -> list[WorkerReport]:
    """Return the last report of each worker."""
    rows = connection.execute(select(worker_reports).order_by(_W.role, _W.worker))
    return [
        WorkerReport(row.role, row.worker, row.started_at, row.reported_at, json.loads(row.figures))
        for row in rows
    ]
