"""Provide what the measurements share: private servers, prepared requests, results."""

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
"""A queue depth that no run reaches: the benchmarks measure accepted requests, not refusals."""


@dataclass(slots=True)
class Rig:
    """The servers under measurement and their results.

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
    certificate: dict[str, Any]
    console: Console
    results: Results = field(default_factory=Results)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def fresh(self) -> Path:
        """Return an unused directory."""
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
        """Bring a database, a fresh one by default, to the newest schema; return its address."""
        url = url or self.fresh_database()
        with self.product(OM_DATABASE_URL=url) as product:
            product.omctl("migrate")
        return url

    @contextmanager
    def product(self, **settings: str) -> Iterator[Product]:
        """Yield the service with an empty state, on this rig's broker, with limits that no run reaches."""
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
        """Print the present action."""
        self.console.log(what)


def end_cleanly() -> None:
    """End as by Ctrl-C on SIGTERM; any other end would leave servers running."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _: sys.exit(128 + received))


@contextmanager
def running_rig(plan: Plan, directory: Path, seed: str) -> Iterator[Rig]:
    """Start the private servers and prepare the requests."""
    console = Console(stderr=True)
    for ensure in (ensure_rabbitmq, ensure_postgresql, ensure_wrk):
        ensure()
    # Tuned for small machines it rolls its log over every two seconds under load.
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
