"""Provide the private servers, the prepared requests and the results that all measurements share."""

from __future__ import annotations

import itertools
import signal
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console

from tests.benchmarks import events
from tests.benchmarks.queue import EventsQueue
from tests.benchmarks.results import Results
from tests.figures import broker_versions, certificate, postgresql_version
from tests.servers import PrivatePostgreSQL, PrivateRabbitMQ, ensure_postgresql, ensure_rabbitmq, ensure_wrk
from tests.stand.product import Product

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.benchmarks.events import RequestFile
    from tests.benchmarks.plan import Plan

UNBOUNDED: Final = 100_000_000
"""A queue depth that no run reaches, because the benchmarks measure accepted requests, not refusals."""


@dataclass(slots=True)
class Rig:
    """The private servers that a run uses, and the results of the run.

    Args:
        directory: The directory for all files of this run.
        requests: Distinct, signed requests. Each measurement begins with the first one and an empty queue.
    """

    plan: Plan
    directory: Path
    broker: PrivateRabbitMQ
    postgresql: PrivatePostgreSQL
    queue: EventsQueue
    requests: RequestFile
    certificate: dict[str, Any]
    console: Console
    results: Results = field(default_factory=Results)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def fresh(self) -> Path:
        """Create an empty directory and return its path."""
        directory = self.directory / f"part-{next(self._numbers):03d}"
        directory.mkdir()
        return directory

    def fresh_database(self) -> str:
        """Create an empty PostgreSQL database and return its address."""
        return self.postgresql.create_database(f"bench_{next(self._numbers):03d}")

    def fresh_sqlite(self) -> str:
        """Return the address of an SQLite database that does not exist yet."""
        return f"sqlite:///{self.fresh() / 'bench.sqlite3'}"

    def migrated(self, url: str = "") -> str:
        """Migrate a database, by default a new one, to the newest schema, and return its address."""
        url = url or self.fresh_database()
        with self.product(OM_DATABASE_URL=url) as product:
            product.omctl("migrate")
        return url

    @contextmanager
    def product(self, **settings: str) -> Iterator[Product]:
        """Yield the service with an empty state, this rig's broker, and limits that no run reaches."""
        common = {
            "OM_AMQP_URL": self.broker.amqp_url,
            "OM_MANAGEMENT_URL": self.broker.management_url,
            "OM_JOURNAL_MAX_BYTES": str(16 * 1024**3),
            "OM_QUEUE_DEPTH_HIGH": str(UNBOUNDED),
            "OM_QUEUE_DEPTH_LOW": str(UNBOUNDED // 2),
        }
        product = Product(self.fresh(), common | settings)
        try:
            yield product
        finally:
            product.close()

    def say(self, what: str) -> None:
        """Print what the run is doing now."""
        self.console.log(what)


def end_cleanly() -> None:
    """Make SIGTERM and SIGHUP end this process as Ctrl-C does, so that no server is left running."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _: sys.exit(128 + received))


@contextmanager
def running_rig(plan: Plan, directory: Path, seed: str) -> Iterator[Rig]:
    """Start the private servers, prepare the requests, and yield the rig; stop the servers at the end."""
    console = Console(stderr=True)
    for ensure in (ensure_rabbitmq, ensure_postgresql, ensure_wrk):
        ensure()
    # With the tests' usual settings, RabbitMQ would start a new log file every two seconds under load.
    broker = PrivateRabbitMQ(directory / "rabbitmq", as_installed=True)
    postgresql = PrivatePostgreSQL(directory / "postgresql")
    console.log("starting RabbitMQ and PostgreSQL, preparing requests")
    try:
        broker.launch()
        postgresql.start()
        requests = events.write_requests(directory / "requests", events.bodies(plan.requests, seed))
        broker.wait_ready()
        queue = EventsQueue(broker)
        queue.declare()
        versions = broker_versions(broker.management_url) | postgresql_version(postgresql.url())
        birth = certificate(seed=seed, servers=versions)
        yield Rig(plan, directory, broker, postgresql, queue, requests, birth, console)
    finally:
        broker.stop()
        postgresql.stop()
