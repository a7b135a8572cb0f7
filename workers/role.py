"""Run a role: repeat its steps until a signal arrives, and regularly report that the worker is alive."""

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
"""Pause after a step that found no work, before the step is called again. The pause is short compared with
the 100 ms that settle and deliver together may take after a window closes."""

TICK_SECONDS: Final = 1.0

STOP_SECONDS: Final = 3.0
"""How long a stopping worker waits for steps in progress. Transactions that are still open then are rolled
back. Even during an outage, the worker needs at most five seconds to stop, including its last report."""

STUCK_SECONDS: Final = 120.0
"""If a step takes longer than this, the process stops reporting to systemd, which then restarts it after the
unit's WatchdogSec. The unit om-reconcile has no WatchdogSec."""

GOODBYE_SECONDS: Final = 1.0
"""How long a stopping worker waits for *finish* and for the deletion of its report. A worker whose report
is not deleted counts as silent for an hour."""

Step = Callable[[], int]


class _Lane:
    """One step of a role, and the thread that calls the step repeatedly."""

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
        except BaseException as error:  # noqa: BLE001  # the main thread re-raises it
            self.failure = error
            self._stopped.set()


def run_role(
    name: str,
    steps: Sequence[Step],
    *,
    idle_seconds: float = IDLE_SECONDS,
    finish: Callable[[], object] = lambda: None,
) -> None:
    """Repeat each step on its own thread until SIGTERM or SIGINT; a slow step does not delay the others.

    The process must exit when this function returns, because a step that did not finish in time is abandoned;
    its open transaction is rolled back. If a step fails unexpectedly, this function re-raises its exception.

    A step returns the amount of work done, or raises RetryLaterError if a service that it needs is away. If
    it returns 0, it is called again after *idle_seconds*. After the first step's last call, *finish* is
    called on that step's thread.
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
    database_url: str,
    clock: DatabaseClock,
    role: str,
    name: str,
    figures: Callable[[], Figures],
    *,
    finish: Callable[[Connection], None] = lambda _: None,
) -> Iterator[None]:
    """Report this worker's presence every ten seconds during the `with` block, on a separate thread.

    Each report opens its own connection, which sets *clock* again. Reports are skipped while the database
    is away. *name* is unique only on this host. *figures* is called on the separate thread,
    and so is *finish*, once, when the block ends.
    """
    # Use a separate engine: the connection hooks of the worker's own engine must not run on this thread.
    engine, worker = make_engine(database_url), f"{socket.gethostname()} {name}"
    clock.follow(engine)
    started_us, stopped = clock.now_us(), threading.Event()

    def report(connection: Connection) -> None:
        counts = {**figures(), CLOCK_AHEAD: _count_seconds_ahead(clock)}
        record_worker_report(
            connection, role, worker, started_us=started_us, now_us=clock.now_us(), figures=counts
        )

    def run() -> None:
        _try(engine, report)
        while not stopped.wait(REPORT_SECONDS):
            _try(engine, report)
        _try(engine, finish)
        _try(engine, lambda connection: delete_worker_report(connection, role, worker))

    thread = threading.Thread(target=run, name="presence", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join(GOODBYE_SECONDS)


def _count_seconds_ahead(clock: DatabaseClock) -> float:
    """Return how many seconds this host's clock is ahead of the database's; `omctl check` shows this."""
    return (SystemClock().now_us() - clock.now_us()) / 1_000_000


def _try(engine: Engine, work: Callable[[Connection], None]) -> None:
    try:
        transact(engine, work)
    except RetryLaterError:
        return
    except Exception as error:  # noqa: BLE001  # the outermost loop of a thread that must not end
        logger().warning("worker_not_reported", reason=type(error).__name__)
    finally:
        engine.dispose()
