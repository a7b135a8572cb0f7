"""Record every ten seconds that a worker runs, and its counts."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import Connection, Engine

from messaging.clock import SystemClock
from messaging.errors import RetryLaterError
from messaging.log import logger
from workers.db.engine import DatabaseClock, make_engine, transact
from workers.db.stats import CLOCK_AHEAD, REPORT_SECONDS, Figures, delete_worker_report, record_worker_report

GOODBYE_SECONDS: Final = 1.0
"""How long a stop waits for the database. Without the last report the worker counts as silent for an hour."""


@contextmanager
def report_presence(
    database_url: str, clock: DatabaseClock, role: str, worker: str, figures: Callable[[], Figures]
) -> Iterator[None]:
    """Report this worker during the `with` block, on a thread that holds no connection between two reports.

    While the database is away, reports are left out; each one sets *clock* anew. *worker* is its host and
    name; *figures* returns its counts, on that thread.
    """
    # Not the worker's own engine: nothing that hooks into its connections may run on this thread.
    engine = make_engine(database_url)
    clock.follow(engine)
    started_us = clock.now_us()
    stopped = threading.Event()

    def note(connection: Connection) -> None:
        # Seconds that this host's clock is ahead of the database's, for `omctl check`.
        ahead = (SystemClock().now_us() - clock.now_us()) / 1_000_000
        counts = {**figures(), CLOCK_AHEAD: ahead}
        record_worker_report(
            connection, role, worker, started_us=started_us, now_us=clock.now_us(), figures=counts
        )

    def run() -> None:
        _attempt(engine, note)
        while not stopped.wait(REPORT_SECONDS):
            _attempt(engine, note)
        _attempt(engine, lambda connection: delete_worker_report(connection, role, worker))

    thread = threading.Thread(target=run, name="presence", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join(GOODBYE_SECONDS)


def _attempt(engine: Engine, work: Callable[[Connection], None]) -> None:
    try:
        transact(engine, work)
    except RetryLaterError:
        return
    except Exception as error:  # noqa: BLE001  # the outermost loop of a thread that must not end
        logger().warning("worker_not_reported", reason=type(error).__name__)
    finally:
        engine.dispose()
