"""Run a role: repeat its steps until a signal arrives, and regularly report that the worker is alive.

A step returns how much it has done, or raises RetryLaterError if something that it needs is away.
"""

import contextvars
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from sqlalchemy import Connection, Engine

from messaging.clock import SystemClock, delay_before
from messaging.errors import RetryLaterError
from messaging.log import logger
from messaging.process import ServiceManager
from workers.db.engine import DatabaseClock, make_engine, transact
from workers.db.stats import CLOCK_AHEAD, REPORT_SECONDS, Figures, delete_worker_report, record_worker_report

IDLE_SECONDS: Final = 0.03
"""Pause before a step that had nothing to do looks for work again. It is short compared with the 100 ms that
settling and delivering together may add to a window."""

TICK_SECONDS: Final = 1.0

STOP_SECONDS: Final = 4.5
"""How long a stop waits for the steps in progress. Transactions that are still open then are rolled back."""

STUCK_SECONDS: Final = 120.0
"""A step that takes longer counts as stuck: the process stops reporting to systemd, which restarts it."""

GOODBYE_SECONDS: Final = 1.0
"""How long a stop waits for the deletion of the report. A report that stays counts as silent for an hour."""

Step = Callable[[], int]


class _Lane:
    """One step and the thread that repeats it."""

    def __init__(self, step: Step, stopped: threading.Event, idle_seconds: float) -> None:
        self._step = step
        self._stopped = stopped
        self._idle_seconds = idle_seconds
        self.finish: Callable[[], object] = lambda: None
        self.progressed_at = time.monotonic()
        self.failure: BaseException | None = None
        run = contextvars.copy_context().run
        self.thread = threading.Thread(target=run, args=(self._run,), name=step.__name__, daemon=True)

    def _run(self) -> None:
        attempt = 1
        try:
            while not self._stopped.is_set():
                try:
                    delay = 0.0 if self._step() else self._idle_seconds
                    attempt = 1
                except RetryLaterError as error:
                    attempt += 1
                    delay = max(error.delay, delay_before(attempt))
                    logger().warning(
                        "step_waits", step=self._step.__name__, reason=str(error), retry_in_s=delay
                    )
                self._stopped.wait(delay)
                self.progressed_at = time.monotonic()
            self.finish()
        except BaseException as error:  # noqa: BLE001  # the main thread raises it
            self.failure = error
            self._stopped.set()


def run_role(
    name: str,
    steps: Sequence[Step],
    *,
    idle_seconds: float = IDLE_SECONDS,
    finish: Callable[[], object] = lambda: None,
) -> None:
    """Repeat steps side by side until SIGTERM or SIGINT, so that a slow one delays no other.

    The process must exit when this returns: a step that did not finish in time is abandoned, and leaves no
    trace unless it has committed. If a step fails unexpectedly, this re-raises its exception.

    A step that returned 0 had nothing to do, and is called again after *idle_seconds*. *finish* is called
    after the last call of the first step, on its thread.
    """
    stopped, service_manager = threading.Event(), ServiceManager()
    lanes = [_Lane(step, stopped, idle_seconds) for step in steps]
    lanes[0].finish = finish
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, lambda *_: stopped.set())
    for lane in lanes:
        lane.thread.start()
    logger().info("role_started", role=name)
    service_manager.ready()
    while not stopped.wait(TICK_SECONDS):
        if all(time.monotonic() - lane.progressed_at < STUCK_SECONDS for lane in lanes):
            service_manager.alive()
    service_manager.stopping()
    deadline = time.monotonic() + STOP_SECONDS
    for lane in lanes:
        lane.thread.join(max(0.0, deadline - time.monotonic()))
    logger().info("role_stopped", role=name)
    for lane in lanes:
        if lane.failure is not None:
            raise lane.failure


@contextmanager
def report_presence(
    database_url: str, clock: DatabaseClock, role: str, name: str, figures: Callable[[], Figures]
) -> Iterator[None]:
    """Report this worker every ten seconds during the `with` block, on a thread of its own.

    No connection stays open between two reports, so each report sets *clock* again. Reports are skipped while
    the database is away. *name* is unique only on this host. *figures* returns counts, on that thread.
    """
    # A separate engine: hooks on the connections of the worker's own engine must not run on this thread.
    engine, worker = make_engine(database_url), f"{socket.gethostname()} {name}"
    clock.follow(engine)
    started_us = clock.now_us()
    stopped = threading.Event()

    def report(connection: Connection) -> None:
        # Seconds that this host's clock is ahead of the database's, for `omctl check`.
        ahead = (SystemClock().now_us() - clock.now_us()) / 1_000_000
        counts = {**figures(), CLOCK_AHEAD: ahead}
        record_worker_report(
            connection, role, worker, started_us=started_us, now_us=clock.now_us(), figures=counts
        )

    def run() -> None:
        _try(engine, report)
        while not stopped.wait(REPORT_SECONDS):
            _try(engine, report)
        _try(engine, lambda connection: delete_worker_report(connection, role, worker))

    thread = threading.Thread(target=run, name="presence", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join(GOODBYE_SECONDS)


def _try(engine: Engine, work: Callable[[Connection], None]) -> None:
    try:
        transact(engine, work)
    except RetryLaterError:
        return
    except Exception as error:  # noqa: BLE001  # the outermost loop of a thread that must not end
        logger().warning("worker_not_reported", reason=type(error).__name__)
    finally:
        engine.dispose()
