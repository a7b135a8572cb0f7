"""Run the service's processes, and the receivers that it is measured against, beside private servers."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from messaging.topology import EVENT_ROUTING_KEY, EXCHANGE
from tests.servers import LOOPBACK, answers, free_port
from tests.stand.product import PROCESSES, SOURCES
from tests.stand.program import Program
from tests.stand.waiting import wait_until
from webhook_api.routes import WEBHOOK_PATH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.benchmarks.rig import Rig

RECEIVERS: Final = "tests.benchmarks.receivers"
THREADS: Final = 8
START_SECONDS: Final = 30.0
GO_PACKAGES: Final = Path("/usr/share/gocode")
"""Where Debian's golang-github-rabbitmq-amqp091-go-dev puts its source."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running HTTP server.

    Args:
        pid: The root of its process tree.
        port: Where it listens on loopback.
        journals: Returns the edge's report of the journal of each of its processes.
    """

    pid: int
    port: int
    journals: Callable[[], list[dict[str, Any]]] = list

    def journal_total(self, name: str) -> int:
        """Add up a figure of the journals of all edge processes."""
        return sum(int(journal[name]) for journal in self.journals())


@contextmanager
def edge(rig: Rig, **settings: str) -> Iterator[Server]:
    """Run the edge with everything on; yields when it has reached the broker."""
    product = rig.product()

    def journals() -> list[dict[str, Any]]:
        return [process["journal"] for process in product.health()["processes"]]

    try:
        with _running(product.edge(**settings), product.is_connected) as pid:
            yield Server(pid, product.port, journals)
    finally:
        product.close()


@contextmanager
def intake(rig: Rig, database_url: str, **settings: str) -> Iterator[int]:
    """Run one intake process on a migrated database; yields its id at once."""
    product = rig.product(OM_DATABASE_URL=database_url)
    product.close()
    with _running(product.worker(**settings)) as pid:
        yield pid


@contextmanager
def role(rig: Rig, database_url: str, name: str, **settings: str) -> Iterator[int]:
    """Run one process of another role on a migrated database; yields its id at once."""
    product = rig.product(OM_DATABASE_URL=database_url)
    product.close()
    with _running(product.worker(f"{name}-1", role=name, **settings)) as pid:
        yield pid


def migrate(rig: Rig, database_url: str) -> None:
    """Bring a database to the newest schema."""
    product = rig.product(OM_DATABASE_URL=database_url)
    product.close()
    product.omctl("migrate")


@contextmanager
def flask_under_gthread(rig: Rig, application: str, **environment: str) -> Iterator[Server]:
    """Run a receiver as one does with Flask: gunicorn's threads, two processes."""
    options = ("--worker-class", "gthread", "--threads", str(THREADS))
    with _under_gunicorn(rig, application, options, environment) as server:
        yield server


@contextmanager
def edge_on_threads(rig: Rig) -> Iterator[Server]:
    """Run the edge's parts under gunicorn's threads."""
    product = rig.product()
    product.close()
    with flask_under_gthread(rig, "edge_on_threads:make_app()", **product.environment()) as server:
        yield server


@contextmanager
def bare_loop(rig: Rig) -> Iterator[Server]:
    """Run the loop that does nothing but answer, two processes."""
    options = ("--worker-class", f"{RECEIVERS}.bare_loop.BareLoopWorker")
    with _under_gunicorn(rig, "noop:app", options, {}) as server:
        yield server


def has_go() -> bool:
    """Tell whether the receiver in Go can be built here."""
    return bool(shutil.which("go")) and (GO_PACKAGES / "src/github.com/rabbitmq/amqp091-go").exists()


@contextmanager
def go_amqp091(rig: Rig) -> Iterator[Server]:
    """Build the receiver in Go, which takes a minute the first time, and run it: one process on all cores."""
    port, directory = free_port(), rig.fresh()
    source = SOURCES / "tests/benchmarks/receivers/go_amqp091/main.go"
    settings = {"GO111MODULE": "off", "GOPATH": str(GO_PACKAGES)}
    build = ["go", "build", "-o", str(directory / "receiver"), str(source)]
    subprocess.run(build, env=os.environ | settings, check=True)
    arguments = [f"{LOOPBACK}:{port}", WEBHOOK_PATH, EXCHANGE, EVENT_ROUTING_KEY]
    environment = os.environ | {"OM_AMQP_URL": rig.broker.amqp_url}
    program = Program(
        "go", [str(directory / "receiver"), *arguments], environment, directory, directory / "go.log"
    )
    with _running(program, lambda: answers(port)) as pid:
        yield Server(pid, port)


@contextmanager
def bare_consumer(rig: Rig, database_url: str) -> Iterator[int]:
    """Run the consumer that intake is measured against; yields its id at once."""
    command = [sys.executable, "-m", f"{RECEIVERS}.bare_consumer", database_url]
    environment = os.environ | {"OM_AMQP_URL": rig.broker.amqp_url}
    with _running(Program("bare", command, environment, SOURCES, rig.fresh() / "bare.log")) as pid:
        yield pid


@contextmanager
def _under_gunicorn(
    rig: Rig, application: str, options: tuple[str, ...], environment: dict[str, str]
) -> Iterator[Server]:
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "--workers", str(PROCESSES), *options]
    command += ["--bind", f"{LOOPBACK}:{port}", f"{RECEIVERS}.{application}"]
    program = Program("receiver", command, os.environ | environment, SOURCES, rig.fresh() / "receiver.log")
    with _running(program, lambda: answers(port)) as pid:
        yield Server(pid, port)


@contextmanager
def _running(program: Program, is_ready: Callable[[], bool] = lambda: True) -> Iterator[int]:
    """Run a program, and kill it afterwards: what it would still do in peace nobody measures."""
    program.start()
    try:
        wait_until(is_ready, START_SECONDS, f"{program.name} is ready, see {program.log}")
        yield program.pid
    finally:
        program.stop(signal.SIGKILL)
