"""The servers' Debian packages, installed the first time that they are needed."""

import subprocess
from collections.abc import Callable
from pathlib import Path

from deploy.local import postgresql, rabbitmq
from deploy.local.process import ServerStartError

INSTALL = Path(__file__).with_name("install-packages")


def ensure_rabbitmq() -> None:
    """Install RabbitMQ's server where it is missing; takes a minute, and asks for sudo's password."""
    _ensure(rabbitmq.server_home, "rabbitmq-server")


def ensure_postgresql() -> None:
    """Install PostgreSQL's server where it is missing."""
    _ensure(postgresql.programs, "postgresql")


def _ensure(find: Callable[[], Path | None], package: str) -> None:
    if find():
        return
    done = subprocess.run(["sh", INSTALL, package], check=False)
    if done.returncode or not find():
        raise ServerStartError(f"{package} is needed and could not be installed")
