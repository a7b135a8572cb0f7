"""Debian packages of servers and tools, installed the first time that they are needed."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from deploy.local import rabbitmq

INSTALL = Path(__file__).with_name("install-packages")


def can_have_rabbitmq() -> bool:
    """Tell whether RabbitMQ is installed here, after installing it where Debian's tools are.

    Takes a minute the first time, and asks for sudo's password.
    """
    return is_there(rabbitmq.server_home, "rabbitmq-server")


def is_there(find: Callable[[], Path | str | None], package: str) -> bool:
    """Tell whether *find* finds what a package brings, after trying to install it."""
    if find() is None and shutil.which("apt-get"):
        subprocess.run(["sh", INSTALL, package], check=False)
    return find() is not None
