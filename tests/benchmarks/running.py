"""Run the service's processes, or their alternatives, on the private servers of a rig."""

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
from tests.benchmarks.refused_requests import provoke_errors
from tests.benchmarks.table import event_table
from tests.servers import LOOPBACK, answers, free_port
from tests.stand.product import PROCESSES, SOURCES
from tests.stand.program import Program
from tests.waiting import wait_until
from webhook_api.application import WEBHOOK_PATH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from tests.benchmarks.rig import Rig
    from tests.benchmarks.table import EventTable

RECEIVERS: Final = "tests.benchmarks.receivers"
START_SECONDS: Final = 30.0
GTHREAD: Final = ("--worker-class", "gthread", "--threads", "8")
"""gunicorn's options for the usual way to run Flask: on threads, in two processes."""

BARE_LOOP: Final = ("--worker-class", f"{RECEIVERS}.bare_loop.BareLoopWorker")
REFUSING: Final = ("--worker-class", f"{RECEIVERS}.bare_loop.RefusingWorker")
GO_PACKAGES: Final = Path("/usr/share/gocode")
"""The path of the Go source in Debian's package golang-github-rabbitmq-amqp091-go-dev."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running HTTP server.

    Args:
        pid: The id of the root of the server's process tree.
        port: The server's port on loopback.
        journals: Returns the edge's report on each of its processes' journals.
    """

    pid: int
    port: int
    journals: Callable[[], list[dict[str, Any]]] = list

    def journal_total(self, name: str) -> int:
        """Return the sum of a figure over the journals of all edge processes."""
        return sum(int(journal[name]) for journal in self.journals())


@contextmanager
def edge(rig: Rig, **settings: str) -> Iterator[Server]:
    """Run the edge with all features; yield once it is connected and has answered some bad requests."""
    with rig.product() as product:

        def journals() -> list[dict[str, Any]]:
            return [process["journal"] for process in product.health()["processes"]]

        def refusals() -> list[dict[str, Any]]:
            return [process["answers"]["refused"] for process in product.health()["processes"]]

        with _running(product.edge(**settings), product.is_connected) as pid:
            provoke_errors(product.port, refusals, PROCESSES)
            yield Server(pid, product.port, journals)


def intake(rig: Rig, database_url: str, **settings: str) -> AbstractContextManager[int]:
    """Run one intake process on a migrated database, and yield its process id immediately."""
    return role(rig, database_url, "intake", **settings)


@contextmanager
def role(rig: Rig, database_url: str, name: str, **settings: str) -> Iterator[int]:
    """Run one process of the role *name* on a migrated database, and yield its process id immediately."""
    with (
        rig.product(OM_DATABASE_URL=database_url) as product,
        _running(product.worker(f"{name}-1", role=name, **settings)) as pid,
    ):
        yield pid


@contextmanager
def whole_service(rig: Rig) -> Iterator[tuple[Server, int, EventTable]]:
    """Run the edge and an intake process on an empty database; yield the edge, intake's pid and the table."""
    url = rig.migrated()
    with edge(rig) as server, intake(rig, url) as worker, event_table(url) as table:
        yield server, worker, table


@contextmanager
def bare_consumer(rig: Rig, database_url: str) -> Iterator[int]:
    """Run the bare consumer, with which intake is compared, and yield its process id immediately."""
    command = [sys.executable, "-m", f"{RECEIVERS}.bare_consumer", database_url]
    with _running(_program(rig, command, {})) as pid:
        yield pid


@contextmanager
def under_gunicorn(
    rig: Rig, application: str, options: tuple[str, ...] = GTHREAD, environment: Mapping[str, str] = {}
) -> Iterator[Server]:
    """Run a receiver under gunicorn. *application* has the form module:application."""
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "--workers", str(PROCESSES), *options]
    command += ["--bind", f"{LOOPBACK}:{port}", f"{RECEIVERS}.{application}"]
    with _running(_program(rig, command, environment), lambda: answers(port)) as pid:
        yield Server(pid, port)


@contextmanager
def edge_on_threads(rig: Rig) -> Iterator[Server]:
    """Run the variant of the edge that serves requests on gunicorn's threads."""
    with (
        rig.product() as product,
        under_gunicorn(rig, "edge_on_threads:make_app()", environment=product.environment()) as server,
    ):
        yield server


def has_go() -> bool:
    """Return whether the receiver in Go can be built here."""
    return bool(shutil.which("go")) and (GO_PACKAGES / "src/github.com/rabbitmq/amqp091-go").exists()


@contextmanager
def go_amqp091(rig: Rig) -> Iterator[Server]:
    """Build the receiver in Go (the first build takes a minute), and run it as one process on all cores."""
    port, receiver = free_port(), str(rig.fresh() / "receiver")
    source = SOURCES / "tests/benchmarks/receivers/go_amqp091/main.go"
    settings = {"GO111MODULE": "off", "GOPATH": str(GO_PACKAGES)}
    subprocess.run(["go", "build", "-o", receiver, str(source)], env=os.environ | settings, check=True)
    command = [receiver, f"{LOOPBACK}:{port}", WEBHOOK_PATH, EXCHANGE, EVENT_ROUTING_KEY]
    with _running(_program(rig, command, {}), lambda: answers(port)) as pid:
        yield Server(pid, port)


def _program(rig: Rig, command: list[str], environment: Mapping[str, str]) -> Program:
    whole = {**os.environ, "OM_AMQP_URL": rig.broker.amqp_url, **environment}
    return Program("receiver", command, whole, SOURCES, rig.fresh() / "receiver.log")


@contextmanager
def _running(program: Program, is_ready: Callable[[], bool] = lambda: True) -> Iterator[int]:
    """Run a program, and kill it afterwards: an orderly shutdown would take longer, and is not measured."""
    program.start()
    try:
        wait_until(is_ready, START_SECONDS, f"{program.name} is ready, see {program.log}")
        yield program.pid
    finally:
        program.stop(signal.SIGKILL)
