"""Put on record which workers run, and what each has counted."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from sqlalchemy import delete, select

from workers.db.engine import insert_into
from workers.db.models import worker_reports
from workers.parsing import moment_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy import Connection

REPORT_SECONDS: Final = 10.0
"""Between two reports: as often as Prometheus usually asks, and nothing to a database."""

SILENT_SECONDS: Final = 60.0
"""A worker that has not reported for so long is dead, hangs, or does not reach the database."""

FORGOTTEN_SECONDS: Final = 3600.0
"""One that was silent for so long will not come back under this name."""

CLOCK_AHEAD: Final = "clock_ahead"
"""The figure that each report has: seconds that its host's clock is ahead of the database's."""

Figures: TypeAlias = "Mapping[str, float | Mapping[str, float]]"
"""Counts by name, or by name and then by destination."""

_W: Final = worker_reports.c
_NOTE: Final = insert_into(
    worker_reports,
    ("role", "worker", "started_at", "reported_at", "figures"),
    """
    ON CONFLICT (role, worker) DO UPDATE SET started_at = excluded.started_at,
        reported_at = excluded.reported_at, figures = excluded.figures
    """,
)


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """What a worker last said of itself.

    Args:
        role: What it does.
        worker: Host and name.
        started_at: When it began.
        reported_at: When it said so.
        figures: Its counts since then.
    """

    role: str
    worker: str
    started_at: datetime
    reported_at: datetime
    figures: Figures

    def is_silent(self, now: datetime) -> bool:
        """Tell whether it should have said more by *now*."""
        return (now - self.reported_at).total_seconds() > SILENT_SECONDS


def note_worker(
    connection: Connection, role: str, worker: str, *, started_us: int, now_us: int, figures: Figures
) -> None:
    """Put a worker's report on record, and forget those that have been silent for long."""
    _NOTE.execute(connection, [(role, worker, started_us, now_us, json.dumps(figures))])
    oldest = moment_of(now_us - round(FORGOTTEN_SECONDS * 1_000_000))
    connection.execute(delete(worker_reports).where(_W.reported_at < oldest))


def forget_worker(connection: Connection, role: str, worker: str) -> None:
    """Take a worker that stops off the record."""
    connection.execute(delete(worker_reports).where(_W.role == role, _W.worker == worker))


def worker_reports_now(connection: Connection) -> list[WorkerReport]:
    """Return the last report of each worker."""
    rows = connection.execute(select(worker_reports).order_by(_W.role, _W.worker))
    return [
        WorkerReport(row.role, row.worker, row.started_at, row.reported_at, json.loads(row.figures))
        for row in rows
    ]
