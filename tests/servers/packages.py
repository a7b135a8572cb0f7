"""Install the Debian packages that the tests need, if they are missing."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

from deploy.local.brokers import ensure_package
from deploy.local.process import ServerStartError
from deploy.local.rabbitmq import server_home
from tests.servers.postgresql import programs


def ensure(find: Callable[[], Path | str | None], package: str) -> None:
    """Install a Debian package unless *find* returns the path of its program."""
    if not ensure_package(find, package):
        raise ServerStartError(f"{package} is needed and could not be installed")


def nginx() -> str | None:
    """Return the path of nginx if it is installed; on Debian, it is only in root's PATH."""
    return shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")


chromium = partial(shutil.which, "chromium")
ensure_rabbitmq = partial(ensure, server_home, "rabbitmq-server")
ensure_postgresql = partial(ensure, programs, "postgresql")
ensure_nginx = partial(ensure, nginx, "nginx-light")
ensure_wrk = partial(ensure, partial(shutil.which, "wrk"), "wrk")
ensure_prometheus = partial(ensure, partial(shutil.which, "promtool"), "prometheus")
find_blackbox_exporter = partial(shutil.which, "prometheus-blackbox-exporter")
ensure_blackbox_exporter = partial(ensure, find_blackbox_exporter, "prometheus-blackbox-exporter")
