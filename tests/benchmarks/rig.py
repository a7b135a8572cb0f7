"""Hold what the measurements share: private servers, prepared requests, results."""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.console import Console

from tests.benchmarks import events
from tests.benchmarks.broker import EventsQueue
from tests.benchmarks.results import Results
from tests.servers import PrivatePostgreSQL, PrivateRabbitMQ, ensure_postgresql, ensure_rabbitmq, ensure_wrk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.benchmarks.events import RequestFile
    from tests.benchmarks.plan import Plan

SERIES = 1


@dataclass(slots=True)
class Rig:
    """The servers under measurement and what is measured with them.

    Args:
        directory: Where everything of this run is written.
        requests: Distinct, signed; every measurement starts with the first again, on an empty queue.
    """

    plan: Plan
    directory: Path
    broker: PrivateRabbitMQ
    postgresql: PrivatePostgreSQL
    queue: EventsQueue
    requests: RequestFile
    results: Results
    console: Console
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def fresh(self) -> Path:
        """Return a directory that nobody has used."""
        return self.directory / f"part-{next(self._numbers):03d}"

    def fresh_database(self) -> str:
        """Create an empty PostgreSQL database and return its address."""
        return self.postgresql.create_database(f"bench_{next(self._numbers):03d}")

    def fresh_sqlite(self) -> str:
        """Return the address of an SQLite database that does not exist yet."""
        directory = self.fresh()
        directory.mkdir()
        return f"sqlite:///{directory / 'bench.sqlite3'}"

    def bodies(self, count: int) -> list[bytes]:
        """Return the first bodies of the prepared requests."""
        with self.requests.path.open("rb") as file:
            return [events.body_of(file.read(self.requests.size)) for _ in range(count)]

    def say(self, what: str) -> None:
        """Tell a person what is being done."""
        self.console.log(what)


@contextmanager
def running_rig(plan: Plan, directory: Path) -> Iterator[Rig]:
    """Start the private servers and prepare the requests."""
    console = Console(stderr=True)
    ensure_rabbitmq()
    ensure_postgresql()
    ensure_wrk()
    # Tuned for small machines it rolls its log over every two seconds under load.
    broker = PrivateRabbitMQ(directory / "rabbitmq", as_installed=True)
    postgresql = PrivatePostgreSQL(directory / "postgresql")
    console.log("starting RabbitMQ and PostgreSQL, preparing requests")
    broker.launch()
    try:
        postgresql.start()
        requests = events.write_requests(directory / "requests", events.bodies(plan.requests, SERIES))
        broker.wait_ready()
        queue = EventsQueue(broker)
        queue.declare()
        yield Rig(plan, directory, broker, postgresql, queue, requests, Results(), console)
    finally:
        broker.stop()
        postgresql.stop()
