"""Run settle and deliver processes on one simulated clock, with each of their threads as a greenlet.

Another thread runs only while the current one sleeps or waits for a statement, a queue or an answer. Every
choice is derived from the seed, so the same seed and actions reproduce a run byte for byte.
"""

from __future__ import annotations

import heapq
import random
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from greenlet import greenlet
from sqlalchemy.exc import DisconnectionError

from messaging.clock import delay_before
from messaging.errors import RetryLaterError

if TYPE_CHECKING:
    from collections.abc import Callable

EPOCH_US: Final = 1_732_462_000_000_000
BUSY_SECONDS: Final = 10.0
"""How many seconds a transaction waits for another writer before it fails, as in SQLite."""

PAUSES: Final = (0.0, 0.0, 0.0, 0.001, 0.02)
"""The possible durations of a statement, in seconds."""


class KilledError(BaseException):
    """Raised in the threads of a killed process, so that none of its code continues."""


@dataclass(eq=False)
class Process:
    """One simulated worker process; `start` spawns its threads."""

    role: str
    number: int
    start: Callable[[Process], None] = field(repr=False)
    is_dead: bool = False
    is_stopping: bool = False
    frozen_until: float = 0.0
    statements: int = 0
    dies_at_statement: int = -1
    tasks: list[Task] = field(default_factory=list, repr=False)

    def __str__(self) -> str:
        return f"{self.role} {self.number}"


@dataclass(eq=False)
class Task:
    """One simulated thread. If several wake-ups are scheduled for it, the earliest wakes it."""

    process: Process
    greenlet: greenlet
    waits: int = 0


class World:
    """The clock, the processes and the database's lock of a run. `fail` records the first broken promise."""

    def __init__(self, seed: int, tell: Callable[[str], None] | None = None) -> None:
        self.random = random.Random(seed)
        self.now = 1000.0
        self.broken: str | None = None
        self.living: list[Process] = []
        self.database_away_until = self.disturbed_at = 0.0
        self.lost = self.repeated = 0
        self.idles = 1
        self._tell = tell
        self._calls: list[Any] = []
        self._order = self._processes = 0
        self._task: Task | None = None
        self._hub = greenlet.getcurrent()
        self._owner: Task | None = None
        self._blocked: list[Task] = []

    # Methods that simulate time.

    def now_us(self) -> int:
        """Return the time on the database's clock, in microseconds."""
        return EPOCH_US + round(self.now * 1_000_000)

    def monotonic(self) -> float:
        """Return the time on the monotonic clock, in seconds."""
        return self.now

    def schedule(self, seconds: float, call: Callable[..., None], *arguments: object) -> None:
        """Schedule a call after a delay. The call belongs to no process."""
        self._order += 1
        heapq.heappush(self._calls, (self.now + seconds, self._order, call, arguments))

    def run(self, until: float) -> None:
        """Run scheduled calls until the time *until*, or until a promise is broken."""
        while self._calls and self._calls[0][0] <= until and self.broken is None:
            at, _, call, arguments = heapq.heappop(self._calls)
            self.now = max(self.now, at)
            call(*arguments)
        self.now = max(self.now, until)

    def note(self, text: str, *values: object) -> None:
        """Add a step to the run's story if the caller asked for the story."""
        if self._tell is not None:
            self._tell(f"{self.now - 1000:9.4f} {self._task.process if self._task else ''} {text % values}")

    def fail(self, text: str, *, lost: bool = False, repeated: bool = False) -> None:
        """Record the first broken promise, and count lost and repeated events."""
        self.lost += lost
        self.repeated += repeated
        self.note("BROKEN: %s", text)
        self.broken = self.broken or text

    # Methods that simulate threads.

    @property
    def process(self) -> Process | None:
        """The process whose thread is running now, if any."""
        return self._task.process if self._task else None

    def spawn(self, process: Process, call: Callable[[], None]) -> None:
        """Start a thread that executes *call* in a process."""

        def run() -> None:
            try:
                call()
            except KilledError:
                pass
            except BaseException as error:  # noqa: BLE001  # any error that ends a thread is a finding
                self.fail(f"{process} fails: {error!r}")

        task = Task(process, greenlet(run, parent=self._hub))
        process.tasks.append(task)
        self.schedule(0.0, self._resume, task, task.waits)

    def _resume(self, task: Task, waits: int) -> None:
        if task.process.is_dead or task.waits != waits or task.greenlet.dead:
            return
        if task.process.frozen_until > self.now:
            self.schedule(task.process.frozen_until - self.now, self._resume, task, waits)
            return
        self._switch(task, task.greenlet.switch)

    def _switch(self, task: Task, switch: Callable[..., object], *arguments: object) -> None:
        task.waits += 1
        self._task = task
        switch(*arguments)
        self._task = None

    def sleep(self, seconds: float | None) -> Task:
        """Suspend this thread until *seconds* have passed or another thread wakes it; return its task."""
        task = self._task
        assert task is not None
        if seconds is not None:
            self.schedule(seconds, self._resume, task, task.waits)
        self._hub.switch()
        return task

    def wake(self, task: Task) -> None:
        """Wake a suspended thread after a short random time."""
        self.schedule(self.random.choice(PAUSES), self._resume, task, task.waits)

    def wait_on(self, waiting: list[Task], seconds: float | None) -> None:
        """Add this thread to *waiting*, and suspend it until it is woken or *seconds* have passed."""
        assert self._task is not None
        waiting.append(self._task)
        task = self.sleep(seconds)
        if task in waiting:
            waiting.remove(task)

    # Methods that simulate processes.

    def start(self, role: str, start: Callable[[Process], None]) -> None:
        """Start a process of the given role. *start* spawns its threads."""
        self._processes += 1
        process = Process(role, self._processes, start)
        self.living.append(process)
        self.note("%s starts", process)
        start(process)

    def repeat(self, process: Process, step: Callable[[], int], idle: float, finish: Any = None) -> None:
        """Start a thread that repeats *step*, as a lane in workers/role.py does."""

        def run() -> None:
            attempt = 1
            while not process.is_stopping:
                try:
                    delay = 0.0 if step() else idle * self.idles
                    attempt = 1
                except RetryLaterError as error:
                    attempt += 1
                    delay = max(error.delay, delay_before(attempt))
                self.sleep(delay)
            if finish is not None:
                with suppress(RetryLaterError):
                    finish()
            self._die("has stopped")

        self.spawn(process, run)

    def kill(self, process: Process, how: str = "is killed") -> None:
        """Kill a process that is not running now. Its successor starts a moment later."""
        if process.is_dead:
            return
        self.note("%s %s", process, how)
        process.is_dead = True
        self.living.remove(process)
        for task in process.tasks:
            if task.greenlet:  # the task has begun and has not ended
                self._switch(task, task.greenlet.throw, KilledError)
        if self._owner is not None and self._owner.process is process:
            # The killed process had just begun its transaction, so there is nothing to roll back.
            self._release()
        self.schedule(2 * self.random.random(), self.start, process.role, process.start)

    def end(self) -> None:
        """Kill all processes at the end of a run, without adding to the story."""
        self._tell = None
        for process in list(self.living):
            self.kill(process)

    def _die(self, how: str) -> None:
        """Kill the process whose thread is running, at this point in its code."""
        assert self._task is not None
        # Schedule the kill before all other calls that are due now.
        heapq.heappush(self._calls, (0.0, 0, self.kill, (self._task.process, how)))
        self.sleep(None)

    # Methods that simulate the database, which permits one writer at a time, as SQLite does.

    def on_statement(self, statement: str) -> None:
        """Let other threads run before a statement, or kill the process there if the schedule says so."""
        if self._task is None:
            return
        process = self._task.process
        process.statements += 1
        if process.statements == process.dies_at_statement:
            self._die(f"is killed before {' '.join(statement.split())[:40]}")
        if statement.startswith("BEGIN"):
            self._lock()
        if pause := self.random.choice(PAUSES):
            self.sleep(pause)

    def _lock(self) -> None:
        deadline = self.now + BUSY_SECONDS
        while self._owner is not None or self.database_away_until > self.now:
            if self.database_away_until > self.now or self.now >= deadline:
                raise DisconnectionError("the database is away, or locked")
            self.wait_on(self._blocked, deadline - self.now)
        self._owner = self._task

    def unlock(self) -> None:
        """Release the database's lock, so that the next transaction can begin."""
        if self._owner is not None and self._owner is self._task:
            self._release()

    def _release(self) -> None:
        self._owner = None
        while self._blocked:
            self.wake(self._blocked.pop(0))
