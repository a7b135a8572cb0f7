"""Delete in small batches what has been kept long enough."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from messaging.log import logger
from workers.db.engine import make_engine, transact
from workers.db.retention import RETENTION_SESSION, START
from workers.deliver import abandon_old
from workers.parsing import moment_of
from workers.retain.expiry import BATCH_ROWS, expiries

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Engine

    from workers.db.retention import Page
    from workers.retain.expiry import Expiry
    from workers.retain.settings import RetainSettings


PAUSE_SHARE: Final = 3.0
"""Seconds left to everybody else for each second of work: without them intake on the same processors lost
three tenths of its rate (`python -m tests.benchmarks --only retain`)."""


@dataclass(frozen=True, slots=True)
class Expired:
    """What was, or would be, deleted of one table.

    Args:
        table: Its name.
        older_than: From when back.
        rows: How many.
    """

    table: str
    older_than: datetime
    rows: int


@contextmanager
def open_database(settings: RetainSettings) -> Iterator[Engine]:
    """Yield the database of the settings; statements may take their time in it."""
    engine = make_engine(settings.database_url, RETENTION_SESSION)
    try:
        yield engine
    finally:
        engine.dispose()


def retain(
    engine: Engine, now_us: int, *, payload_days: int, event_days: int, dry_run: bool
) -> Iterator[Expired]:
    """Delete what is old, and yield what went, table by table; each batch is durable when it is done.

    Deliveries that have waited for as long as events are kept are abandoned first: a destination that is away
    or paused pins nothing for ever.

    Args:
        engine: The database.
        now_us: The present, microseconds since the epoch.
        payload_days: How long raw bodies are kept.
        event_days: How long events are kept, and all that hangs on them.
        dry_run: Only count.

    Raises:
        RetryLaterError: The database is away; what is deleted is deleted, call again later.
    """
    if not dry_run:
        _abandon(engine, moment_of(now_us) - timedelta(days=event_days), now_us)
    found = expiries(now_us, payload_days=payload_days, event_days=event_days)
    for expiry, rows in _counted(engine, found) if dry_run else _deleted(engine, found):
        expired = Expired(expiry.kept.name, expiry.older_than, rows)
        logger().info(
            "rows_would_expire" if dry_run else "rows_expired",
            table=expired.table,
            rows=rows,
            older_than=expired.older_than.isoformat(),
        )
        yield expired


def _counted(engine: Engine, found: Sequence[Expiry]) -> Iterator[tuple[Expiry, int]]:
    for expiry in found:
        yield expiry, transact(engine, partial(expiry.kept.count, older_than=expiry.older_than))


def _deleted(engine: Engine, found: Sequence[Expiry]) -> Iterator[tuple[Expiry, int]]:
    """Delete a page of each table in turn, so that a run that is cut off has come as far in each.

    The next run finds the oldest rows that are left, which is where this one stopped.
    """
    ends: dict[int, Any] = dict.fromkeys(range(len(found)), START)
    rows = [0] * len(found)
    while ends:
        for number, end in tuple(ends.items()):
            began = time.monotonic()
            page = transact(engine, partial(_delete_page, expiry=found[number], after=end))
            rows[number] += page.deleted
            ends[number] = page.end
            if page.end is None:
                del ends[number]
                yield found[number], rows[number]
            else:
                time.sleep(PAUSE_SHARE * (time.monotonic() - began))


def _delete_page(connection: Connection, expiry: Expiry, after: Any) -> Page:
    return expiry.kept.delete(connection, expiry.older_than, BATCH_ROWS, after)


def _abandon(engine: Engine, created_before: datetime, now_us: int) -> None:
    total = 0
    while some := transact(engine, lambda connection: abandon_old(connection, created_before, now_us)):
        total += some
    if total:
        logger().warning("deliveries_abandoned", rows=total, older_than=created_before.isoformat())
