"""The Debian packages of servers and tools, installed the first time that they are needed."""

import shutil
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


def ensure_wrk() -> None:
    """Install the load generator of the benchmarks where it is missing."""
    _ensure(lambda: shutil.which("wrk"), "wrk")


def _ensure(find: Callable[[], Path | str | None], package: str) -> None:
    if find():
        return
    done = subprocess.run(["sh", INSTALL, package], check=False)
    if done.returncode or not find():
        raise ServerStartError(f"{package} is needed and could not be installed")
