"""A private PostgreSQL server from the machine's packages, on a free loopback port, with its own data."""

import functools
import os
import pwd
import re
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, Self

import psycopg

from deploy.local.process import LOOPBACK, ServerProcess, ServerStartError, free_port

SUPERUSER = "postgres"
START_SECONDS = 300.0
"""How many seconds a start may take: a server killed under load can take minutes to replay its log."""

STOP_SECONDS = 20.0

# Settings for databases that are deleted after a test; with them, the tests take a quarter of the time.
NOT_DURABLE = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_wal_size": "128MB",
}


def programs() -> Path | None:
    """Return the directory of the newest installed server, or None if no server is installed."""
    found = [program.parent for program in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if not found and (program := shutil.which("initdb")):
        found = [Path(program).resolve().parent]
    return max(found, key=_version, default=None)


def _version(directory: Path) -> int:
    numbers = re.findall(r"\d+", str(directory))
    return int(numbers[0]) if numbers else 0


class PrivatePostgreSQL:
    """A server that can restart on the same port with the same data. It flushes to disk only if *durable*."""

    settings: ClassVar[dict[str, str]] = {}

    def __init__(self, directory: Path, *, durable: bool = True) -> None:
        self.directory = directory.resolve()
        self.directory.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self._durable = durable
        self._data = self.directory / "data"
        self._process = ServerProcess("PostgreSQL", self.directory / "output.log")

    @property
    def pid(self) -> int:
        return self._process.pid

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def url(self, database: str = "postgres") -> str:
        return f"postgresql+psycopg://{SUPERUSER}@{LOOPBACK}:{self.port}/{database}"

    def start(self) -> None:
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        if not (self._data / "PG_VERSION").exists():
            self._initialise()
        settings = {
            "listen_addresses": LOOPBACK,
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "200",
            **self.settings,
            **({} if self._durable else NOT_DURABLE),
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        command = [*unprivileged(), program("postgres"), "-D", str(self._data), *options]
        self._process.launch(command, environment=_environment(), directory=self._data)

    def wait_ready(self) -> None:
        self._process.wait_until(self.is_ready, timeout=START_SECONDS)

    def is_ready(self) -> bool:
        try:
            self._connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def stop(self) -> None:
        """Shut down cleanly without waiting for clients (PostgreSQL's "fast" mode)."""
        self._process.end(signal.SIGINT, timeout=STOP_SECONDS)

    def kill_immediate(self) -> None:
        """Stop without a checkpoint, as in a crash, so that the next start must recover."""
        self._process.end(signal.SIGQUIT, timeout=STOP_SECONDS)

    def freeze(self) -> None:
        """Suspend the server: its connections stay open, but it reads and answers no requests."""
        self._signal_all(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, number: signal.Signals) -> None:
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text(encoding="ascii").split()
        for pid in (self.pid, *map(int, children)):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def create_database(self, name: str) -> str:
        """Create an empty database and return its SQLAlchemy address."""
        with self._connect() as connection:
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
        return self.url(name)

    def _connect(self) -> psycopg.Connection:
        return psycopg.connect(
            host=LOOPBACK,
            port=self.port,
            user=SUPERUSER,
            dbname="postgres",
            connect_timeout=2,
            autocommit=True,
        )

    def _initialise(self) -> None:
        self._data.mkdir(mode=0o700, exist_ok=True)
        if user := _server_user():
            os.chown(self._data, user.pw_uid, user.pw_gid)
        command = [*unprivileged(), program("initdb"), "-D", str(self._data), "-U", SUPERUSER]
        command += ["--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8"]
        command += [] if self._durable else ["--no-sync"]
        done = subprocess.run(
            command, env=_environment(), cwd=self._data, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise ServerStartError(f"initdb failed:\n{done.stdout}{done.stderr}")


def program(name: str) -> str:
    """Return the path of one of the server's programs."""
    directory = programs()
    if directory is None:
        raise ServerStartError("PostgreSQL's server is not installed on this machine")
    return str(directory / name)


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"}


@functools.cache
def _server_user() -> pwd.struct_passwd | None:
    """Return an unprivileged user for the server if we are root; PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    known = {user.pw_name: user for user in pwd.getpwall()}
    return known.get("postgres") or known["nobody"]


def unprivileged() -> list[str]:
    """Return a command prefix that drops root's rights but keeps access to root's temporary directories."""
    user = _server_user()
    if user is None:
        return []
    capabilities = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", *capabilities]
