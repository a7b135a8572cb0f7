"""Configure the service on this machine, and list the commands of its processes."""

import os
import secrets
import shlex
import subprocess
import sys
from collections.abc import Container, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import requests

from deploy.local.brokers import BrokerAddress
from deploy.local.process import LOOPBACK, ServerStartError, answers, free_port
from webhook_api.application import WEBHOOK_PATH

PROJECT = Path(__file__).parents[2]
DEFAULT_BIND = f"{LOOPBACK}:8080"
STATUS_PORT = 9464
PLATFORM_PORT = 8090
WORKERS = 2


@dataclass(frozen=True, slots=True)
class LocalService:
    """A service with its data in `var` and its edge at `bind`. Environment variables take precedence."""

    var: Path
    bind: str
    broker: BrokerAddress

    @property
    def url(self) -> str:
        """The edge's URL for clients on this machine."""
        host, _, port = self.bind.rpartition(":")
        return f"http://{LOOPBACK if host in {'', '0.0.0.0', '[::]'} else host}:{port}"  # noqa: S104  is compared

    @property
    def webhook_url(self) -> str:
        """The URL to which events are posted."""
        return self.url + WEBHOOK_PATH

    @property
    def status_page(self) -> str:
        """The URL of the status page."""
        return f"http://{os.environ['OM_METRICS_BIND']}/ops"

    @property
    def has_platform(self) -> bool:
        """Whether a platform is configured, so that reconcile can compare our events with its history."""
        return bool(os.environ.get("OM_GENESYS_REGION") or os.environ.get("OM_GENESYS_API_URL"))

    def prepare(self) -> None:
        """Export the settings to this process and its children, migrate the tables, and declare queues."""
        settings = {
            "OM_BIND": self.bind,
            "OM_AMQP_URL": self.broker.amqp_url,
            "OM_MANAGEMENT_URL": self.broker.management_url,
            **missing_settings(self.var),
        }
        if sys.stdout.isatty():
            # Make the children use colours even if their output goes to a file, as in `make demo`.
            settings["FORCE_COLOR"] = "1"
        os.environ.update(settings)
        for command in ("migrate", "setup"):
            run_quietly([sys.executable, "-m", "omctl", command])

    def is_ready(self) -> bool:
        """Return whether the edge accepts events and the status page is served."""
        with suppress(requests.RequestException):
            is_accepting = requests.get(f"{self.url}/health/ready", timeout=1.0).ok
            return is_accepting and answers(int(os.environ["OM_METRICS_BIND"].rpartition(":")[2]))
        return False

    def commands(self) -> dict[str, list[str]]:
        """Return the command of each process of the service, by the process's name."""
        roles = {"settle": ["settle"], "observe": ["observe"]}
        if self.broker.management_url:
            roles["scale"] = ["scale", "--processes"]
        else:
            # Without a management API, the queue's depth is unknown, so start a fixed number of workers.
            numbers = range(1, WORKERS + 1)
            roles |= {f"intake-{number}": ["intake", "--name", f"{number}"] for number in numbers}
        roles |= {"deliver": ["deliver"]} if os.environ.get("OM_DESTINATIONS") else {}
        roles |= {"reconcile": ["reconcile"]} if self.has_platform else {}
        edge = {"edge": [sys.executable, "-m", "gunicorn", "-c", "python:webhook_api.gunicorn_conf"]}
        return edge | {name: [sys.executable, "-m", "workers", *role] for name, role in roles.items()}


def missing_settings(var: Path) -> dict[str, str]:
    """Return a value for each setting that a local service needs and the environment lacks."""
    defaults = {
        "OM_STATE_DIRECTORY": str(var / "state"),
        "OM_DATABASE_URL": f"sqlite:///{var / 'open-messaging.sqlite3'}",
        "OM_EDGE_PROCESSES": "1",
        # Unless a ceiling is set, run several workers, as in production, so that they compete for duplicates.
        **({} if _is_set("OM_SCALE_CEILING") else {"OM_SCALE_FLOOR": str(WORKERS)}),
        # Store typing indicators too, because the simulator's ledger accounts for every event.
        "OM_STORE_TYPING": "true",
        # Log a line for each event; a busy service would log too many lines.
        "OM_LOG_LEVEL": "debug",
        "OM_METRICS_BIND": f"{LOOPBACK}:{pick_port(STATUS_PORT)}",
    }
    missing = {name: value for name, value in defaults.items() if not _is_set(name)}
    if not _is_set("OM_WEBHOOK_SECRETS") and not _is_set("OM_ALLOW_UNSIGNED"):
        # The first run generates the webhook secret of this checkout.
        secret_file = var / "webhook-secret"
        if not secret_file.exists():
            secret_file.touch(mode=0o600)
            secret_file.write_text(secrets.token_urlsafe(32))
        missing["OM_WEBHOOK_SECRETS_FILE"] = str(secret_file)
    return missing


def pick_port(port: int) -> int:
    """Return *port*, or a free port if a server already listens on it."""
    return free_port() if answers(port) else port


def _is_set(name: str) -> bool:
    return name in os.environ or f"{name}_FILE" in os.environ


@contextmanager
def environment_file(path: Path) -> Iterator[None]:
    """Provide, for a `with` block, a file that another shell can source for the settings and the PATH."""
    settings = {name: value for name, value in sorted(os.environ.items()) if name.startswith("OM_")}
    lines = [f"export {name}={shlex.quote(value)}" for name, value in settings.items()]
    programs = shlex.quote(str(Path(sys.executable).parent))
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text("\n".join([f'export PATH={programs}:"$PATH"', *lines, ""]))
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def free_bind() -> str:
    """Return the address to bind the edge to; raise ServerStartError if a server already listens there."""
    bind = os.environ.get("OM_BIND", DEFAULT_BIND)
    address = urlsplit(f"//{bind}")
    if address.port and answers(address.port, host=address.hostname or LOOPBACK):
        raise ServerStartError(
            f"Another program listens on {bind}. Choose another address: make run OM_BIND={LOOPBACK}:8081"
        )
    return bind


def run_quietly(command: list[str], expected: Container[int] = (0,)) -> str:
    """Run a command and return its output; raise ServerStartError if its exit status is not *expected*."""
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    if done.returncode not in expected:
        raise ServerStartError(f"{shlex.join(command[1:])} failed:\n{done.stdout}{done.stderr}")
    return done.stdout
