"""Put the whole service on its feet with real servers, every part of it ready to be struck."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import requests

from tests.chaos.fake_management import FakeManagement
from tests.chaos.journal import Journals
from tests.chaos.logs import LogWatch
from tests.chaos.proxy import Proxy
from tests.chaos.queues import Queues
from tests.chaos.service import Service, Supervisor, wait_until
from tests.servers import LOOPBACK, PrivatePostgreSQL, PrivateRabbitMQ, free_port

SECRET = b"constructed-for-the-chaos-suite"
SOURCES = Path(__file__).resolve().parents[2]
ACTIVATE = Path(__file__).with_name("activate.py")
PYTHON = sys.executable
EDGE_PROCESSES = 2
WORKERS = 2
START_SECONDS = 40.0
BACKLOG = 2048


class Stand:
    """One broker, one database server, the edge with two processes, two intake workers.

    The edge's listening socket is held here and handed over at each start, as systemd's socket unit does.
    Two proxies and a false management API lie ready; they are passed by unless a fault puts them in the way.

    Args:
        directory: Empty; servers, journals, logs and databases are kept in it.
        database: "postgresql" or "sqlite".
        sources: Where the product is run from: this checkout, or a copy with something broken in it.
        broker: The node to use, where it is one of several.
    """

    def __init__(
        self,
        directory: Path,
        *,
        database: str = "postgresql",
        sources: Path = SOURCES,
        broker: PrivateRabbitMQ | None = None,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.sources = sources
        self.broker = broker or PrivateRabbitMQ(directory / "rabbitmq")
        self.postgresql = PrivatePostgreSQL(directory / "postgresql") if database == "postgresql" else None
        self.database_url = (
            self.postgresql.url("chaos") if self.postgresql else f"sqlite:///{directory}/chaos.db"
        )
        self.queues = Queues(self.broker.management_url)
        self.journals = Journals(directory / "state" / "journal")
        self.edge_proxy = Proxy(self.broker.amqp_port)
        self.worker_proxy = Proxy(self.broker.amqp_port)
        self.fake_management = FakeManagement(self.broker.management_url)
        self._listener = _listen()
        self.port: int = self._listener.getsockname()[1]
        self.edge = self._edge_service()
        self.workers = [self._worker_service(f"worker-{number}") for number in range(1, WORKERS + 1)]
        self._supervisor: Supervisor | None = None

    def start(self) -> None:
        """Start everything; returns when events can flow from end to end."""
        self.start_servers()
        self.omctl("setup")
        self.omctl("migrate")
        self.start_product()

    def start_servers(self) -> None:
        """Start broker and database server, with an empty database."""
        self.broker.launch()
        if self.postgresql:
            self.postgresql.start()
            self.postgresql.create_database("chaos")
        self.broker.wait_ready()

    def start_product(self) -> None:
        """Start edge and workers under supervision."""
        self.edge.start()
        for worker in self.workers:
            worker.start()
        self._supervisor = Supervisor([self.edge, *self.workers])
        self.wait_healthy()

    def stop(self) -> None:
        """Stop everything that was started here."""
        if self._supervisor:
            self._supervisor.stop()
        for service in (self.edge, *self.workers):
            service.stop(signal.SIGKILL)
        self.fake_management.close()
        self.edge_proxy.close()
        self.worker_proxy.close()
        self.broker.stop()
        if self.postgresql:
            self.postgresql.stop()
        self._listener.close()

    def wait_healthy(self, seconds: float = START_SECONDS) -> None:
        """Block until the edge has the broker and the workers consume."""
        wait_until(self.is_healthy, seconds, "the edge has the broker and both workers consume")

    def is_healthy(self) -> bool:
        """Tell whether the broker is there, the edge publishes to it and the workers consume from it."""
        return self.edge_sees_broker() and self.queues.consumers("events") >= len(self.workers)

    def edge_sees_broker(self) -> bool:
        """Tell whether all edge processes answer and have the broker."""
        processes = self.health().get("processes", [])
        up = [process for process in processes if process["journal"]["broker"] == "up"]
        return len(up) >= EDGE_PROCESSES

    def health(self) -> dict[str, object]:
        """Return the edge's health report; empty when it does not answer."""
        try:
            answer = requests.get(f"http://{LOOPBACK}:{self.port}/health/ready", timeout=5)
            return answer.json()
        except (requests.RequestException, ValueError):
            return {}

    def omctl(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the operator's command line against this stand."""
        command = [PYTHON, "-m", "omctl", *arguments]
        done = subprocess.run(
            command, env=self.edge.environment, cwd=self.sources, capture_output=True, text=True, check=False
        )
        assert not check or done.returncode == 0, f"omctl {arguments[0]}: {done.stdout}{done.stderr}"
        return done

    def pause_workers(self) -> None:
        """Stop the workers, so that deliveries pile up."""
        for worker in self.workers:
            worker.stop()

    def resume_workers(self) -> None:
        """Start the workers again."""
        for worker in self.workers:
            worker.start()

    def watch_logs(self) -> LogWatch:
        """Look at what the edge and the workers log from now on."""
        return LogWatch([service.log for service in (self.edge, *self.workers)])

    def environment(self) -> dict[str, str]:
        """Return the settings that every process gets."""
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(self.sources),
            "PYTHONUNBUFFERED": "1",
            "OM_AMQP_URL": self.broker.amqp_url,
            "OM_MANAGEMENT_URL": self.broker.management_url,
            "OM_DATABASE_URL": self.database_url,
            "OM_STATE_DIRECTORY": str(self.directory / "state"),
            "OM_WEBHOOK_SECRETS": SECRET.decode(),
            "OM_EDGE_PROCESSES": str(EDGE_PROCESSES),
            "OM_BIND": f"{LOOPBACK}:{self.port}",
        }

    def _edge_service(self) -> Service:
        descriptor = self._listener.fileno()
        command = [PYTHON, str(ACTIVATE), str(descriptor), PYTHON, "-m", "gunicorn"]
        command += ["-c", "python:webhook_api.gunicorn_conf"]
        log = self.directory / "edge.log"
        return Service("edge", command, self.environment(), self.sources, log, descriptor=descriptor)

    def _worker_service(self, name: str) -> Service:
        command = [PYTHON, "-m", "workers", "intake", "--name", name]
        log = self.directory / f"{name}.log"
        return Service(name, command, self.environment(), self.sources, log)


def _listen() -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((LOOPBACK, free_port()))
    listener.listen(BACKLOG)
    return listener
