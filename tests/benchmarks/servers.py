"""Run the service's processes, and the receivers it is measured against, beside private servers."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import requests

from tests.benchmarks.events import SECRET
from tests.servers import ServerProcess, answers, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.servers import PrivateRabbitMQ

ROOT: Final = Path(__file__).parents[2]
PROCESSES: Final = 2
THREADS: Final = 8
START_SECONDS: Final = 30.0
STOP_SECONDS: Final = 30.0
UNBOUNDED: Final = 100_000_000
"""A queue depth that no run reaches: admission is measured, shedding is not wanted."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running HTTP server.

    Args:
        pid: The root of its process tree.
        port: Where it listens on loopback.
    """

    pid: int
    port: int

    def health(self) -> dict[str, object]:
        """Return the edge's own report."""
        answer = requests.get(f"http://127.0.0.1:{self.port}/health/ready", timeout=5)
        report: dict[str, object] = answer.json()
        return report


@contextmanager
def flask_under_gthread(application: str, directory: Path, **environment: str) -> Iterator[Server]:
    """Run a receiver as one does with Flask: gunicorn's threads, two processes."""
    port = free_port()
    command = [
        *_gunicorn(),
        *("--workers", str(PROCESSES), "--worker-class", "gthread", "--threads", str(THREADS)),
        *("--bind", f"127.0.0.1:{port}", f"tests.benchmarks.receivers.{application}"),
    ]
    with _process("flask", command, directory, environment) as process:
        process.wait_until(lambda: answers(port), timeout=START_SECONDS)
        yield Server(process.pid, port)


@contextmanager
def bare_loop(directory: Path) -> Iterator[Server]:
    """Run the loop that does nothing but answer, two processes."""
    port = free_port()
    worker_class = "tests.benchmarks.receivers.bare_loop.BareLoopWorker"
    command = [
        *_gunicorn(),
        *("--workers", str(PROCESSES), "--worker-class", worker_class),
        *("--bind", f"127.0.0.1:{port}", "tests.benchmarks.receivers.noop:app"),
    ]
    with _process("bare_loop", command, directory, {}) as process:
        process.wait_until(lambda: answers(port), timeout=START_SECONDS)
        yield Server(process.pid, port)


@contextmanager
def edge(
    broker: PrivateRabbitMQ,
    directory: Path,
    *,
    configuration: str = "webhook_api.gunicorn_conf",
    **settings: str,
) -> Iterator[Server]:
    """Run the edge with everything on; yields when it has reached the broker."""
    port = free_port()
    environment = edge_environment(broker, directory) | {"OM_BIND": f"127.0.0.1:{port}"} | settings
    command = [*_gunicorn(), "-c", f"python:{configuration}"]
    with _process("edge", command, directory, environment) as process:
        server = Server(process.pid, port)
        process.wait_until(lambda: answers(port) and _is_connected(server), timeout=START_SECONDS)
        yield server


def edge_environment(broker: PrivateRabbitMQ, directory: Path) -> dict[str, str]:
    """Return the edge's settings for a measurement."""
    return {
        "OM_EDGE_PROCESSES": str(PROCESSES),
        "OM_WEBHOOK_SECRETS": SECRET.decode(),
        "OM_AMQP_URL": broker.amqp_url,
        "OM_MANAGEMENT_URL": broker.management_url,
        "OM_STATE_DIRECTORY": str(directory / "state"),
        "OM_JOURNAL_MAX_BYTES": str(16 * 1024**3),
        "OM_QUEUE_DEPTH_HIGH": str(UNBOUNDED),
        "OM_QUEUE_DEPTH_LOW": str(UNBOUNDED // 2),
    }


@contextmanager
def edge_on_threads(broker: PrivateRabbitMQ, directory: Path) -> Iterator[Server]:
    """Run the edge's parts under gunicorn's threads."""
    factory = "edge_on_threads:make_app()"
    with flask_under_gthread(factory, directory, **edge_environment(broker, directory)) as server:
        yield server


@contextmanager
def intake(
    broker: PrivateRabbitMQ, database_url: str, directory: Path, *, module: str = "workers", **settings: str
) -> Iterator[int]:
    """Run one intake process; yields its id at once."""
    environment = {"OM_AMQP_URL": broker.amqp_url, "OM_DATABASE_URL": database_url, **settings}
    command = [sys.executable, "-m", module, "intake"]
    with _process("intake", command, directory, environment) as process:
        yield process.pid


@contextmanager
def bare_consumer(broker: PrivateRabbitMQ, database_url: str, directory: Path) -> Iterator[int]:
    """Run the consumer that intake is measured against; yields its id at once."""
    command = [sys.executable, "-m", "tests.benchmarks.receivers.bare_consumer", database_url]
    with _process("bare", command, directory, {"OM_AMQP_URL": broker.amqp_url}) as process:
        yield process.pid


def migrate(database_url: str) -> None:
    """Bring a database to the newest schema."""
    command = [sys.executable, "-m", "omctl", "migrate"]
    environment = os.environ | {"OM_DATABASE_URL": database_url}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)


@contextmanager
def _process(
    name: str, command: list[str], directory: Path, environment: Mapping[str, str]
) -> Iterator[ServerProcess]:
    directory.mkdir(parents=True, exist_ok=True)
    process = ServerProcess(name, directory / f"{name}.log")
    process.launch(command, environment=os.environ | dict(environment), directory=ROOT)
    try:
        yield process
    finally:
        process.end(signal.SIGTERM, timeout=STOP_SECONDS)


def _gunicorn() -> list[str]:
    beside = Path(sys.executable).with_name("gunicorn")
    return [str(beside) if beside.exists() else str(shutil.which("gunicorn"))]


def _is_connected(server: Server) -> bool:
    """Tell whether every process of the edge reaches the broker."""
    processes = server.health()["processes"]
    assert isinstance(processes, list)
    return len(processes) == PROCESSES and all(each["journal"]["broker"] == "up" for each in processes)
