"""Run a stand: a test rig with the whole service and real servers, any of which a fault can strike."""

from __future__ import annotations

import os
import signal
import time
from contextlib import contextmanager
from math import inf
from typing import TYPE_CHECKING

import psycopg
from sqlalchemy import Engine, NullPool, create_engine, text

from tests.chaos.behind import WITH_SHORT_WINDOWS, Behind
from tests.chaos.bounds import HEALS, USUAL_START_SECONDS
from tests.chaos.broker_view import DEAD_LETTERS, EVENTS, EXCHANGE, RECORDS, UNROUTED, BrokerView
from tests.chaos.capacity import Capacity
from tests.chaos.fake_management import FakeManagement
from tests.chaos.journals import Journals
from tests.chaos.proxy import Proxy
from tests.chaos.standby import ReplicatedPostgreSQL
from tests.chaos.traces import RECORDED_EDGE, Traces
from tests.servers import LOOPBACK, PrivateRabbitMQ
from tests.stand.product import SOURCES, Product
from tests.stand.program import Supervisor
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.stand.program import Program

WORKERS = 2
EDGE_PRIORITY = -5
"""The edge's niceness, which gives it priority over the servers and workers of other stands.

Without it, other stands on the same processors would delay this stand's edge.
"""

SUBSCRIBED = "SELECT count(*) FROM subscriptions"
FALL_BEHIND = {"OM_QUEUE_DEPTH_HIGH": "2000000", "OM_QUEUE_DEPTH_LOW": "1000000"}
"""Watermarks that no fault reaches unless the fault sets lower watermarks.

During a one-minute outage under a load of half the capacity, more events accumulate in the queue than the
default high watermark allows.
"""


@contextmanager
def running_stand(kind: str, directory: Path, sources: Path = SOURCES) -> Iterator[Stand]:
    """Run a stand (postgresql, sqlite, cluster, standby or behind), with its files in *directory*."""
    stand = Stand(
        directory,
        database=kind if kind in {"sqlite", "standby"} else "postgresql",
        nodes=3 if kind == "cluster" else 1,
        has_behind=kind == "behind",
    )
    try:
        stand.start(sources)
        yield stand
    finally:
        stand.stop()


class Stand:
    """The running service: by default one broker, one database, two edge processes and two intake workers.

    Two proxies and a fake management API also run, but traffic bypasses them unless a fault routes it through
    them.

    Args:
        directory: The directory for the servers' data, the journals and the logs.
        database: "postgresql", "sqlite", or "standby" for a PostgreSQL with a synchronous standby.
        nodes: The number of brokers; more than one form a cluster.
        has_behind: Whether settle and deliver run, with simulated destinations and a simulated platform.
    """

    def __init__(
        self, directory: Path, *, database: str = "postgresql", nodes: int = 1, has_behind: bool = False
    ) -> None:
        self.directory = directory
        first = PrivateRabbitMQ(directory / "rabbitmq-1", name="node-1")
        self.brokers = [first] + [
            PrivateRabbitMQ(directory / f"rabbitmq-{number}", name=f"node-{number}", peer=first)
            for number in range(2, nodes + 1)
        ]
        kept = {"postgresql": ("postgresql",), "standby": ("postgresql", "standby"), "sqlite": ()}[database]
        servers = [ReplicatedPostgreSQL(directory / name) for name in kept]
        self.postgresql = servers[0] if servers else None
        self.standby = servers[1] if len(servers) > 1 else None
        self.view = BrokerView(first)
        self.edge_proxy = Proxy(first.amqp_port)
        self.worker_proxy = Proxy(first.amqp_port)
        self.fake_management = FakeManagement(first.management_url)
        self.behind = Behind(directory / "behind") if has_behind else None
        self.database = ""
        self.capacity = Capacity()
        self.patience = HEALS
        self._quickest_start = inf
        self._served = 0
        self._supervisor: Supervisor | None = None

    @property
    def broker(self) -> PrivateRabbitMQ:
        """The broker, or the first node of the cluster."""
        return self.brokers[0]

    def start(self, sources: Path = SOURCES) -> None:
        """Start all servers and the product; return when events can be processed from end to end."""
        for broker in self.brokers:
            broker.launch()
        if self.postgresql:
            self.postgresql.start()
        if self.postgresql and self.standby:
            self.standby.follow(self.postgresql)
        for broker in self.brokers:
            broker.wait_ready()
        for broker in self.brokers[1:]:
            broker.join_cluster(self.broker)
        self.serve(sources)

    def serve(self, sources: Path) -> None:
        """Run the product from *sources* with an empty broker, database and state directory."""
        self._served += 1
        self.database = f"chaos_{self._served}"
        if self.postgresql:
            self.postgresql.create_database(self.database)
        for queue in (EVENTS, UNROUTED, DEAD_LETTERS, RECORDS):
            self.view.request("DELETE", f"queues/%2F/{queue}")
        # Delete the only exchange that has arguments, because another version might declare different ones.
        self.view.request("DELETE", f"exchanges/%2F/{EXCHANGE}")
        self.stop_product()
        self.product = Product(self.directory / f"product-{self._served}", self.settings(), sources=sources)
        self.journals = Journals(self.product.directory / "state")
        self.product.omctl("setup")
        self.product.omctl("migrate")
        self.traces = Traces(self.product.directory / "traces")
        # Do not record the steps of a sabotaged copy.
        recorded = self.traces.settings if sources == SOURCES else {}
        configuration = {"configuration": RECORDED_EDGE} if recorded else {}
        self.edge = self.product.edge(**configuration, **recorded)
        self.edge.priority = EDGE_PRIORITY
        names = [f"worker-{number}" for number in range(1, WORKERS + 1)]
        self.workers = [self.product.worker(name, runs=WITH_SHORT_WINDOWS, **recorded) for name in names]
        if self.behind:
            self.behind.serve(self)
        started = time.monotonic()
        for program in self.programs:
            program.start()
        self._supervisor = Supervisor(self.programs)
        self.wait_healthy()
        self._quickest_start = min(self._quickest_start, time.monotonic() - started)
        if self.behind:
            wait_until(lambda: self.ask(SUBSCRIBED), HEALS, "the destination gets events")

    @property
    def pace(self) -> float:
        """The factor by which the quickest start was slower than usual. All bounds are multiplied by it."""
        return 1.0 if self._quickest_start == inf else max(1.0, self._quickest_start / USUAL_START_SECONDS)

    def settings(self) -> dict[str, str]:
        """Return the settings that have no usable default on a stand, and the settings for a heavy load."""
        return {
            "OM_AMQP_URL": ",".join(broker.amqp_url for broker in self.brokers),
            "OM_MANAGEMENT_URL": ",".join(broker.management_url for broker in self.brokers),
            "OM_DATABASE_URL": self._product_database_url(),
            **FALL_BEHIND,
            **(self.behind.settings() if self.behind else {}),
        }

    def _product_database_url(self) -> str:
        """Return the database's URL for the product, which also names the standby if there is one."""
        if not (self.postgresql and self.standby):
            return self.database_url()
        hosts = "&".join(f"host={LOOPBACK}:{server.port}" for server in (self.postgresql, self.standby))
        return f"postgresql+psycopg://postgres@/{self.database}?{hosts}&target_session_attrs=read-write"

    def database_url(self) -> str:
        """Return the URL of the database that currently accepts writes."""
        if self.postgresql:
            return self.postgresql.url(self.database)
        return f"sqlite:///{self.directory}/{self.database}.db"

    @property
    def programs(self) -> list[Program]:
        """All programs of the product: the edge and the workers."""
        return [self.edge, *self.workers, *(self.behind.programs if self.behind else ())]

    def processes(self) -> list[int]:
        """Return all process ids on an event's path, including this process, which serves destinations."""
        servers = [*self.brokers, *filter(None, (self.postgresql, self.standby))]
        return [os.getpid(), *(part.pid for part in (*servers, *self.programs))]

    def stop_product(self) -> None:
        """Kill the edge and the workers, and do not start them again."""
        if self._supervisor:
            self._supervisor.stop()
            self._supervisor = None
            for program in self.programs:
                program.stop(signal.SIGKILL)
            self.product.close()

    def stop(self) -> None:
        """Stop the whole stand. The first broker stops last, because it runs the port mapper."""
        self.stop_product()
        if self.behind:
            self.behind.close()
        self.fake_management.close()
        self.edge_proxy.close()
        self.worker_proxy.close()
        for broker in reversed(self.brokers):
            broker.kill()
            broker.stop()
        for server in (self.postgresql, self.standby):
            if server:
                server.kill_immediate()

    def wait_healthy(self, seconds: float = 0.0) -> None:
        """Block until the edge is connected to the broker and the workers consume from it."""
        limit = self.pace * (seconds or self.patience)
        wait_until(self.is_healthy, limit, "the edge has the broker and both workers consume")

    def is_healthy(self) -> bool:
        """Return whether the edge publishes to the broker and the workers consume from it."""
        return self.product.is_connected() and self.view.consumers() >= len(self.workers)

    def reconfigure_workers(self, **settings: str) -> None:
        """Restart the workers with changed settings, and return when they consume."""
        for worker in self.workers:
            worker.reconfigure(**settings)
        self.wait_healthy()

    def reconfigure_edge(self, **settings: str) -> None:
        """Restart the edge with changed settings, and return when it is connected to the broker."""
        self.edge.reconfigure(**settings)
        self.wait_healthy()

    @contextmanager
    def paused_workers(self) -> Iterator[None]:
        """Stop the workers for a `with` block, so that deliveries accumulate in the queue."""
        for worker in self.workers:
            worker.stop()
        try:
            yield
        finally:
            for worker in self.workers:
                worker.start()

    def engine(self) -> Engine:
        """Return a new database engine, which is independent of the workers' engines."""
        return create_engine(self.database_url())

    def ask(self, question: str, **values: object) -> int:
        """Return the number that a query selects, or 0 for NULL."""
        engine = create_engine(self.database_url(), poolclass=NullPool)
        with engine.connect() as connection:
            return int(connection.execute(text(question), values).scalar_one() or 0)

    def connect(self) -> psycopg.Connection:
        """Connect to PostgreSQL as an operator would, in autocommit mode."""
        assert self.postgresql is not None
        return psycopg.connect(
            host=LOOPBACK,
            port=self.postgresql.port,
            user="postgres",
            dbname=self.database,
            autocommit=True,
            application_name="chaos",
            connect_timeout=5,
        )

    def execute(self, *statements: str) -> None:
        """Run each statement in its own transaction."""
        with self.connect() as connection:
            for statement in statements:
                connection.execute(statement.encode())
