"""Record every ten seconds that a worker runs, and what it has counted."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from messaging.clock import SystemClock
from messaging.errors import RetryLaterError
from messaging.log import logger
from workers.db.engine import make_engine, transact
from workers.db.stats import CLOCK_AHEAD, REPORT_SECONDS, forget_worker, note_worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from workers.db.engine import DatabaseClock
    from workers.db.stats import Figures

GOODBYE_SECONDS: Final = 1.0
"""A stop waits for no database longer than this: without the goodbye the worker looks silent for an hour."""


@contextmanager
def present(
    database_url: str, clock: DatabaseClock, role: str, worker: str, figures: Callable[[], Figures]
) -> Iterator[None]:
    """Keep this worker on record meanwhile, by a thread of its own; it holds no connection in between.

    Args:
        database_url: The database. While it is away nothing is said, and nobody waits.
        clock: The database's time; each report sets it anew.
        role: What this worker does.
        worker: Host and name.
        figures: Returns what it has counted so far; called on that thread.
    """
    stopped = threading.Event()
    presence = _Presence(database_url, clock, role, worker, figures)
    thread = threading.Thread(target=presence.keep_up, args=(stopped,), name="presence", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join(GOODBYE_SECONDS)


class _Presence:
    def __init__(
        self, database_url: str, clock: DatabaseClock, role: str, worker: str, figures: Callable[[], Figures]
    ) -> None:
        # Not the worker's own: what hooks into its connections must not run on this thread.
        self._engine = make_engine(database_url)
        clock.follow(self._engine)
        self._clock = clock
        self._role = role
        self._worker = worker
        self._figures = figures
        self._started_us = clock.now_us()

    def keep_up(self, stopped: threading.Event) -> None:
        self._try(self._note)
        while not stopped.wait(REPORT_SECONDS):
            self._try(self._note)
        self._try(self._forget)

    def _try(self, work: Callable[[], None]) -> None:
        try:
            work()
        except RetryLaterError:
            return
        except Exception as error:  # noqa: BLE001  # the outermost loop of a thread that must harm nobody
            logger().warning("worker_not_reported", reason=type(error).__name__)
        finally:
            self._engine.dispose()

    def _note(self) -> None:
        transact(
            self._engine,
            lambda connection: note_worker(
                connection,
                self._role,
                self._worker,
                started_us=self._started_us,
                now_us=self._clock.now_us(),
                figures={**self._figures(), CLOCK_AHEAD: self._clock_ahead()},
            ),
        )

    def _clock_ahead(self) -> float:
        """Return the seconds that this host's clock is ahead of the database's, for `omctl check`."""
        return (SystemClock().now_us() - self._clock.now_us()) / 1_000_000

    def _forget(self) -> None:
        transact(self._engine, lambda connection: forget_worker(connection, self._role, self._worker))
