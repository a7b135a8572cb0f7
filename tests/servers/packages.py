"""The Debian packages that the tests need beside the service's own."""

import shutil

from deploy.local.packages import ensure, is_there
from tests.servers import postgresql


def can_have_postgresql() -> bool:
    """Tell whether PostgreSQL's server is installed here, after installing it where Debian's tools are."""
    return is_there(postgresql.programs, "postgresql")


def ensure_postgresql() -> None:
    """Install PostgreSQL's server where it is missing."""
    ensure(postgresql.programs, "postgresql")


def ensure_wrk() -> None:
    """Install the load generator of the benchmarks where it is missing."""
    ensure(lambda: shutil.which("wrk"), "wrk")


def ensure_nginx() -> None:
    """Install nginx where it is missing."""
    ensure(nginx, "nginx-light")


def can_have_chromium() -> bool:
    """Tell whether a browser is installed here, after installing it where Debian's tools are."""
    return is_there(chromium, "chromium")


def chromium() -> str | None:
    """Return the browser's program, where it is installed."""
    return shutil.which("chromium")


def nginx() -> str | None:
    """Return nginx's program, where it is installed; it is in the PATH of root alone."""
    return shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
