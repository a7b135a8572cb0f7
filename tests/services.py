"""Start the product's processes, the edge and the workers, for tests."""

import base64
import hmac
import os
import signal
import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import requests

from messaging.admin import broker_session, set_up
from tests.servers import LOOPBACK, ServerProcess, free_port

SECRET = "constructed-secret-0123456789"
GONE = "amqp://guest:guest@127.0.0.1:9/"
"""An address at which no broker runs."""

# The body is constructed; its signature was computed with openssl, independently of the code under test.
SIGNED = (
    '{"id":"d7d58935af65a45e5234ac77de017a0a","channel":{"id":"e6b352de-ecd0-49c7-94de-7787418869bc",'
    '"platform":"Open","type":"Private","to":{"id":"user-1","idType":"Opaque"},"from":{"nickname":"Demo",'
    '"id":"e6b352de-ecd0-49c7-94de-7787418869bc","idType":"Opaque"},"time":"2025-06-10T21:03:05.427Z",'
    '"messageId":"d7d58935af65a45e5234ac77de017a0a"},"type":"Text","text":"Hi 👋",'
    '"originatingEntity":"Human","direction":"Outbound","conversationId":"5d0d331e-d2a8-4fb5-96f7-7021bef2a8ee"}'
).encode()
SIGNATURE = "sha256=zj0Sxr8Qpd5K1nDIoaLZbcMUR1KrosMvX/i6xp+XQyA="

WEBHOOK_PATH = "/webhooks/genesys/openmessaging"
START_SECONDS = 30.0


def signature(body: bytes, secret: str = SECRET) -> str:
    """Sign as the platform does, without the product's code, so that an error in that code is noticed."""
    digest = hmac.new(secret.encode(), body, "sha256").digest()
    return "sha256=" + base64.b64encode(digest).decode()


@dataclass
class Service:
    """The settings and the directory of one or more processes."""

    directory: Path
    amqp_url: str
    management_url: str = ""
    settings: dict[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("OM_")}
        return inherited | {
            "OM_AMQP_URL": self.amqp_url,
            "OM_MANAGEMENT_URL": self.management_url,
            "OM_WEBHOOK_SECRETS": SECRET,
            "OM_STATE_DIRECTORY": str(self.directory / "state"),
            # Retention must not affect the tests' events, which can be of any age.
            "OM_RETENTION_DAYS": "36500",
            "PYTHONPATH": str(Path(__file__).parents[1]),
            **self.settings,
        }


class Edge(ServerProcess):
    """gunicorn with the edge, on a free port."""

    def __init__(
        self, service: Service, configuration: str = "webhook_api.gunicorn_conf", port: int = 0
    ) -> None:
        super().__init__("edge", service.directory / "edge.log")
        self._configuration = configuration
        self.port = port or free_port()
        self.log = service.directory / "edge.log"
        self._environment = {"OM_EDGE_PROCESSES": "1"} | service.environment()
        self._environment["OM_BIND"] = f"{LOOPBACK}:{self.port}"
        self._directory = service.directory

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}{WEBHOOK_PATH}"

    def start(self, *, wait_for_broker: bool = True) -> None:
        command = [sys.executable, "-m", "gunicorn", "-c", f"python:{self._configuration}"]
        self.launch(command, environment=self._environment, directory=self._directory)
        ready = self._is_connected if wait_for_broker else self._is_live
        self.wait_until(ready, timeout=START_SECONDS)

    def health(self) -> dict:
        return requests.get(f"http://{LOOPBACK}:{self.port}/health/ready", timeout=10).json()

    def status(self, part: str) -> dict:
        """Return one part, such as "journal", of the health report of the edge's only process."""
        return self.health()["processes"][0][part]

    def _is_live(self) -> bool:
        try:
            return requests.get(f"http://{LOOPBACK}:{self.port}/health/live", timeout=10).ok
        except requests.ConnectionError:
            return False

    def _is_connected(self) -> bool:
        if not self._is_live():
            return False
        return all(process["journal"]["broker"] == "up" for process in self.health()["processes"])


def post(url: str, body: bytes, **headers: str) -> requests.Response:
    """Post a signed body; *headers* override those of the signature."""
    signed = {"X-Hub-Signature-256": signature(body), "Content-Type": "application/json"}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return requests.post(url, data=body, headers=signed | named, timeout=10)


def declare_topology(amqp_url: str) -> None:
    """Declare the exchanges and queues, as `omctl setup` does."""
    with broker_session((amqp_url,), client_name="test") as connection:
        set_up(connection)


@contextmanager
def running(process: ServerProcess):
    """Kill the process and its children at the end, because the edge takes seconds to stop by itself."""
    try:
        yield process
    finally:
        with suppress(RuntimeError, ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.end(signal.SIGKILL, timeout=15)


class Worker(ServerProcess):
    """A worker whose database has all tables; a subclass sets the role and the log event of its start."""

    role: str
    started: str
    runs: tuple[str, ...] = ("-m", "workers")

    def __init__(self, service: Service, database_url: str, name: str = "1") -> None:
        self.log = service.directory / f"{self.role}-{name}.log"
        super().__init__(f"{self.role} {name}", self.log)
        self._name = name
        self._environment = service.environment() | {"OM_DATABASE_URL": database_url}
        self._directory = service.directory

    def start(self) -> None:
        command = [sys.executable, *self.runs, self.role, "--name", self._name]
        self.launch(command, environment=self._environment, directory=self._directory)
        self.wait_until(lambda: self.started in self.log.read_text(), timeout=START_SECONDS)


class IntakeWorker(Worker):
    """Consumes events from the broker."""

    role = "intake"
    started = "consumer_up"


class SettleWorker(Worker):
    """Settles conversations."""

    role = "settle"
    started = "role_started"


def leave_in_journal(directory: Path, bodies: list[bytes]) -> None:
    """Post each body to an edge without a broker, check that each gets a 200, and kill the edge."""
    edge = Edge(Service(directory, GONE))
    with running(edge):
        edge.start(wait_for_broker=False)
        assert {post(edge.url, body).status_code for body in bodies} == {200}
        assert edge.status("journal")["broker"] == "away"
        edge.end(signal.SIGKILL, timeout=5)
