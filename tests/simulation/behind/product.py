"""Run the product's own intake, settle and deliver in a simulated world, on a real SQLite file."""

from __future__ import annotations

import json
import queue
import shutil
import sqlite3
import tempfile
from collections import deque
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import event

import messaging.clock
import messaging.log
from messaging.consuming import Delivery
from messaging.envelope import WEBHOOK, Envelope
from messaging.errors import RetryLaterError
from messaging.topology import EVENTS_QUEUE
from tests.simulation.behind.outside import ATTEMPTS, TIMEOUT_SECONDS
from tests.simulation.seams import replaced
from workers.db.engine import make_engine
from workers.db.migrations import schema
from workers.deliver import (
    DeadLetterPublisher,
    Deliverer,
    Destination,
    dead_letters,
    deliverer,
    leasing,
    outcome,
    parking,
    sender,
)
from workers.genesys import ConversationStates
from workers.intake import Intake, installed_handlers
from workers.intake import outcome as intake_outcome
from workers.settle import Settler, Verifier

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

    from tests.simulation.behind.promises import Behind
    from tests.simulation.behind.world import Process, Task, World

SLOTS: Final = ("deliver", "deliver", "settle", "settle", "intake")
EVENTS: Final = tuple(f"openmessaging:conversation:{kind}" for kind in ("new", "message", "updated"))
SUBSCRIBED: Final = {"crm": EVENTS, "archive": EVENTS[1:2]}
IDLE_SECONDS: Final = 1.0
"""How long an idle process pauses, in seconds. The product pauses for tens of milliseconds. That would slow
down simulated runs, which include minutes without due work."""

GIVE_UP_SECONDS: Final = 30.0
HANDLERS: Final = installed_handlers()


class Database:
    """An SQLite file with all tables, and an engine for each process. The file is reset for each run."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory()
        self.path = Path(self._directory.name, "events.sqlite3")
        self._template = Path(self._directory.name, "template.sqlite3")
        schema.upgrade(f"sqlite:///{self._template}")
        self.engines = [make_engine(f"sqlite:///{self.path}") for _ in SLOTS]
        self.behind: Behind | None = None
        self._reader = sqlite3.connect(":memory:")
        for engine in self.engines:
            # Disable flushes, which are unnecessary because this simulation includes no power cuts.
            event.listen(engine, "connect", lambda one, _record: one.execute("PRAGMA synchronous = OFF"))
            event.listen(engine, "before_cursor_execute", self._on_statement)
            event.listen(engine, "commit", self._unlock)
            event.listen(engine, "rollback", self._unlock)

    def reset(self, behind: Behind) -> None:
        """Replace the file with one that has empty tables, for a new run."""
        self.behind = behind
        self._reader.close()
        for engine in self.engines:
            engine.dispose()
        for suffix in ("-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        shutil.copyfile(self._template, self.path)
        self._reader = sqlite3.connect(self.path, isolation_level=None)

    def read(self, query: str, *values: object) -> list[Any]:
        """Return the committed rows that a query selects."""
        return self._reader.execute(query, values).fetchall()

    def _on_statement(self, _connection: Any, _cursor: Any, statement: str, *_: object) -> None:
        if self.behind is not None:
            self.behind.world.on_statement(statement)

    def _unlock(self, _connection: Any) -> None:
        if self.behind is not None:
            self.behind.world.unlock()


@cache
def database() -> Database:
    """Return this Python process's only database."""
    return Database()


class Transport:
    """Replaces the product's transport, which sends HTTP requests to a destination."""

    def __init__(self, behind: Behind, destination: Destination) -> None:
        self._behind = behind
        self._destination = behind.destinations[destination.name]

    def send(self, message: Any) -> Any:
        """Send a message to the simulated destination, and return the result."""
        return self._destination.send(message, self._behind.find_unended(message, self._destination.name))


class SimpleQueue:
    """Replaces queue.SimpleQueue, which connects the threads of a simulated process."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._items: deque[Any] = deque()
        self._waiting: list[Task] = []

    def put(self, item: object) -> None:
        """Add an item, and wake a thread that is waiting for one."""
        self._items.append(item)
        if self._waiting:
            self._world.wake(self._waiting.pop(0))

    def get(self, timeout: float | None = None) -> Any:
        """Return the oldest item. If there is none, wait for one, and raise Empty after the timeout."""
        deadline = None if timeout is None else self._world.now + timeout
        while not self._items:
            if deadline is not None and self._world.now >= deadline:
                raise queue.Empty
            self._world.wait_on(self._waiting, None if deadline is None else deadline - self._world.now)
        return self._items.popleft()

    def get_nowait(self) -> Any:
        """Return the oldest item, or raise Empty immediately."""
        return self.get(0.0)

    def empty(self) -> bool:
        """Return whether the queue is empty."""
        return not self._items


def start_deliver(behind: Behind, engine: Engine, process: Process) -> None:
    """Compose and start a deliver process as workers/bootstrap.py does."""
    services = [
        Destination(name, f"http://{name}", (), types, TIMEOUT_SECONDS, concurrency=2, attempts=ATTEMPTS)
        for name, types in SUBSCRIBED.items()
    ]
    worker = Deliverer(engine, behind.world, services)
    publisher = DeadLetterPublisher(engine, behind.world, ())
    behind.world.repeat(process, worker.deliver, 0.0, worker.finish)
    behind.world.repeat(process, publisher.publish_and_rest, 5 * IDLE_SECONDS)


def start_settle(behind: Behind, engine: Engine, process: Process) -> None:
    """Compose and start a settle process as workers/bootstrap.py does."""
    world, platform = behind.world, behind.platform
    client: Any = platform
    states = ConversationStates(client, world.monotonic) if platform else None
    settler = Settler(engine, world, verifies=platform is not None)
    verifier = Verifier(engine, world, states=states, end_seconds=GIVE_UP_SECONDS)
    steps = (settler.settle_windows, verifier.settle_updates, verifier.end_updates)
    for step in steps:
        world.repeat(process, step, 2 * IDLE_SECONDS)


def take_in(behind: Behind, engine: Engine, body: dict[str, Any], number: int) -> None:
    """Process one event as intake does, and retry until that succeeds."""
    envelope = Envelope(f"m-{number}", behind.world.now_us(), "r", WEBHOOK, json.dumps(body).encode())
    intake = Intake(engine, HANDLERS, behind.world)
    while True:
        try:
            intake.process([Delivery(number, EVENTS_QUEUE, 1, envelope)])
        except RetryLaterError:
            behind.world.sleep(1.0)
        else:
            return


@contextmanager
def simulated(behind: Behind) -> Iterator[None]:
    """Make the product use the world's clock, threads, random numbers and services during a `with` block."""
    world = behind.world

    class Thread:
        def __init__(self, *, target: Any, **_: object) -> None:
            self._target = target

        def start(self) -> None:
            assert world.process is not None
            world.spawn(world.process, self._target)

    def make_sender(*arguments: Any) -> sender.Sender:
        return sender.Sender(*arguments, _runs=queues.SimpleQueue())

    log = SimpleNamespace(
        **{
            level: lambda name, _level=level, **fields: world.note("%s %s", name, fields)
            for level in ("debug", "info", "warning", "error", "exception")
        },
        is_enabled_for=lambda _level: False,
    )
    queues: Any = SimpleNamespace(SimpleQueue=lambda: SimpleQueue(world), Empty=queue.Empty)
    clock = SimpleNamespace(monotonic=world.monotonic)
    names = [
        (messaging.log, "structlog", SimpleNamespace(get_logger=lambda: log)),
        (intake_outcome, "log", log),
        (messaging.clock, "random", world.random),
        (outcome, "random", world.random),
        (outcome, "HOLD_SECONDS", 15.0),
        (deliverer, "queue", queues),
        (deliverer, "time", clock),
        (deliverer, "IDLE_SECONDS", IDLE_SECONDS),
        (deliverer, "BUSY_SECONDS", IDLE_SECONDS / 10),
        (deliverer, "Sender", make_sender),
        (deliverer, "Transport", lambda destination, _clock: Transport(behind, destination)),
        (sender, "time", clock),
        (sender, "threading", SimpleNamespace(Thread=Thread)),
        (dead_letters, "publish_dead_letters", behind.exchange.publish),
        # Use limits that a simulated run can reach, so that runs of deliveries grow and some are parked.
        (leasing, "MIN_RUN_EVENTS", 2),
        (sender, "MIN_RUN_EVENTS", 2),
        (sender, "MAX_RUN_EVENTS", 4),
        (parking, "WALK_SHARE", 2),
        (parking, "MAX_WALK", 4),
        (leasing, "MAX_WALK", 4),
    ]
    with replaced(names):
        yield
