"""Delete the rows that have been kept for their retention time, in small batches."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Engine

from messaging.log import logger
from messaging.settings import WorkerSettings, positive, setting
from workers.db.engine import transact
from workers.deliver import abandon_some, choose_old
from workers.parsing import moment_of
from workers.retain.tables import BODY_TABLES, EVENT_TABLES, ExpiringTable

PAYLOAD_DAYS: Final = 30
"""Default retention of bodies, equal to that of events, because a replay of an event needs its body."""

EVENT_DAYS: Final = 30
"""Default event retention: the platform stops retrying far sooner. Later copies would take effect again."""

BATCH_ROWS: Final = 1000
"""Number of rows that one transaction deletes; its locks last milliseconds, so they hardly delay workers."""

PAUSE_SHARE: Final = 3.0
"""Seconds of pause after each second of work. Without pauses, intake on the same processors handled 30%
fewer events per second (`python -m tests.benchmarks --only retain`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetainSettings(WorkerSettings):
    """Settings of the retain role; deploy/environment.example explains each setting."""

    payload_days: int = setting("OM_PAYLOAD_RETENTION_DAYS", positive, PAYLOAD_DAYS)
    event_days: int = setting("OM_RETENTION_DAYS", positive, EVENT_DAYS)


@dataclass(frozen=True, slots=True)
class Expired:
    """The number of rows of one table that were deleted or, in a dry run, would be deleted."""

    table: str
    older_than: datetime
    rows: int


Expiry = tuple[ExpiringTable, datetime]
"""A table, and the time before which its rows expire."""


def retain(
    engine: Engine,
    now_us: int,
    *,
    payload_days: int,
    event_days: int,
    dry_run: bool,
    batch_rows: int = BATCH_ROWS,
) -> Iterator[Expired]:
    """Delete old rows, and yield each table's number of deleted rows. Each batch is one transaction.

    First, deliveries that have waited for the events' retention time are abandoned, because a destination
    that is away or paused must not keep rows forever. If *dry_run* is true, rows are only counted.
    """
    now = moment_of(now_us)
    if not dry_run:
        _abandon(engine, now - timedelta(days=event_days), now_us)
    found = [
        (table, now - timedelta(days=days))
        for tables, days in ((BODY_TABLES, payload_days), (EVENT_TABLES, event_days))
        for table in tables
    ]
    counts = (((table, end), transact(engine, table.count, end)) for table, end in found)
    for (table, older_than), rows in counts if dry_run else _delete(engine, found, batch_rows):
        logger().info(
            "rows_would_expire" if dry_run else "rows_expired",
            table=table.table.name,
            rows=rows,
            older_than=older_than.isoformat(),
        )
        yield Expired(table.table.name, older_than, rows)


def _delete(engine: Engine, found: Sequence[Expiry], batch_rows: int) -> Iterator[tuple[Expiry, int]]:
    """Delete one page of each table in turn, so that even an interrupted run makes progress in every table.

    The next run continues where this run stopped, because it begins with the oldest remaining rows.
    """
    left = {expiry: table.delete(engine, end, batch_rows) for expiry, (table, end) in enumerate(found)}
    rows = Counter[int]()
    while left:
        for expiry, pages in tuple(left.items()):
            began = time.monotonic()
            deleted = next(pages, None)
            if deleted is None:
                del left[expiry]
                yield found[expiry], rows[expiry]
            else:
                rows[expiry] += deleted
                time.sleep(PAUSE_SHARE * (time.monotonic() - began))


def _abandon(engine: Engine, created_before: datetime, now_us: int) -> None:
    total, old = 0, choose_old(created_before)
    while some := transact(engine, abandon_some, old, now_us):
        total += some
    if total:
        logger().warning("deliveries_abandoned", rows=total, older_than=created_before.isoformat())
