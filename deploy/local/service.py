"""The service's settings and processes on this machine."""

import os
import secrets
import shlex
import subprocess
import sys
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import requests

from deploy.local.brokers import BrokerAddress
from deploy.local.ports import LOOPBACK, answers
from deploy.local.process import ServerStartError

PROJECT = Path(__file__).parents[2]
WEBHOOK_PATH = "/webhooks/genesys/openmessaging"
DEFAULT_BIND = f"{LOOPBACK}:8080"
WORKERS = 2


@dataclass(frozen=True, slots=True)
class LocalService:
    """The service with its data under `var`; what the environment already sets, holds.

    Args:
        var: keeps database, journal and secret.
        bind: host:port of the edge.
        broker: where events go.
    """

    var: Path
    bind: str
    broker: BrokerAddress

    @property
    def url(self) -> str:
        """The edge's address as a client on this machine sees it."""
        host, _, port = self.bind.rpartition(":")
        return f"http://{LOOPBACK if host in {'', '0.0.0.0', '[::]'} else host}:{port}"  # noqa: S104  # is compared

    @property
    def webhook_url(self) -> str:
        """Where events are posted."""
        return self.url + WEBHOOK_PATH

    def enter(self) -> None:
        """Put the settings into this process's environment, for itself and for its children."""
        settings = {
            "OM_BIND": self.bind,
            "OM_AMQP_URL": self.broker.amqp_url,
            "OM_MANAGEMENT_URL": self.broker.management_url,
            **missing_settings(self.var),
        }
        os.environ.update(settings)

    def set_up(self) -> None:
        """Bring the tables and the broker's topology up to date."""
        for command in ("migrate", "setup"):
            run_quietly([sys.executable, "-m", "omctl", command])

    def is_ready(self) -> bool:
        """Tell whether the edge takes events in."""
        with suppress(requests.RequestException):
            return requests.get(f"{self.url}/health/ready", timeout=1.0).ok
        return False

    @property
    def has_platform(self) -> bool:
        """Whether there is a history to compare with."""
        return bool(os.environ.get("OM_GENESYS_REGION") or os.environ.get("OM_GENESYS_API_URL"))

    def commands(self) -> dict[str, list[str]]:
        """Return the command of each process by its name."""
        roles = {"settle": ["settle"]}
        if self.broker.management_url:
            roles["scale"] = ["scale", "--processes"]
        else:
            # Nobody tells how much waits: as many workers as there would be for an empty queue.
            roles |= {
                f"intake-{number}": ["intake", "--name", f"{number}"] for number in range(1, WORKERS + 1)
            }
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
        # Duplicates meet in different processes, as they do in production; who names a ceiling knows better.
        **({} if _is_set("OM_SCALE_CEILING") else {"OM_SCALE_FLOOR": str(WORKERS)}),
        # The simulator's account is of every event, each for itself.
        "OM_STORE_TYPING": "true",
        # A line for each event, which nobody wants of a busy service.
        "OM_LOG_LEVEL": "debug",
        "OM_LOG_FORMAT": "text" if sys.stdout.isatty() else "json",
    }
    missing = {name: value for name, value in defaults.items() if not _is_set(name)}
    if not _is_set("OM_WEBHOOK_SECRETS") and not _is_set("OM_ALLOW_UNSIGNED"):
        missing["OM_WEBHOOK_SECRETS_FILE"] = str(secret_file(var))
    return missing


def _is_set(name: str) -> bool:
    return name in os.environ or f"{name}_FILE" in os.environ


def secret_file(var: Path) -> Path:
    """Return the file with this checkout's webhook secret, made the first time."""
    path = var / "webhook-secret"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(32))
    return path


@contextmanager
def environment_file(path: Path) -> Iterator[None]:
    """Leave the settings where another shell can take them up, for the time of a `with` block."""
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(exports(os.environ))
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def exports(environment: Mapping[str, str]) -> str:
    """Return shell lines that set every OM_ variable, and find the programs of this environment."""
    settings = {name: value for name, value in sorted(environment.items()) if name.startswith("OM_")}
    lines = [f"export {name}={shlex.quote(value)}" for name, value in settings.items()]
    programs = shlex.quote(str(Path(sys.executable).parent))
    return "\n".join([f'export PATH={programs}:"$PATH"', *lines, ""])


def free_bind() -> str:
    """Return the address for the edge, which must not be in use.

    Raises:
        ServerStartError: something listens there.
    """
    bind = os.environ.get("OM_BIND", DEFAULT_BIND)
    address = urlsplit(f"//{bind}")
    if address.port and answers(address.port, host=address.hostname or LOOPBACK):
        raise ServerStartError(
            f"Something already listens on {bind}. Choose another address: make run OM_BIND={LOOPBACK}:8081"
        )
    return bind


def run_quietly(command: list[str], well: Container[int] = (0,)) -> str:
    """Run a command whose output only matters when it fails; return what it printed.

    Args:
        command: program and arguments.
        well: exit statuses that are no failure.
    """
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    if done.returncode not in well:
        raise ServerStartError(f"{shlex.join(command[1:])} failed:\n{done.stdout}{done.stderr}")
    return done.stdout
