"""A private PostgreSQL server from the machine's packages.

It listens on a free loopback port without a Unix socket, keeps its data under one directory, and
has nothing to do with a PostgreSQL that may already run here.
"""

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

from deploy.local.ports import LOOPBACK, free_port
from deploy.local.process import ServerProcess, ServerStartError

SUPERUSER = "postgres"
START_SECONDS = 300.0
"""A server that was killed under load first replays what it had written since its last checkpoint: minutes,
where others take the processors. One that ends while starting is not waited for."""

STOP_SECONDS = 20.0

# Unit tests throw their databases away: without these they need a quarter of the time.
NOT_DURABLE = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_wal_size": "128MB",
}


def programs() -> Path | None:
    """Return the directory of the newest installed server, or None where there is none."""
    found = [program.parent for program in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if not found and (program := shutil.which("initdb")):
        found = [Path(program).resolve().parent]
    return max(found, key=_version, default=None)


def _version(directory: Path) -> int:
    numbers = re.findall(r"\d+", str(directory))
    return int(numbers[0]) if numbers else 0


class PrivatePostgreSQL:
    """A server on a free loopback port with its data under `directory`.

    `stop` or `kill_immediate` and then `start` come back on the same port with the same data.

    Args:
        directory: created where missing; everything the server writes is in it.
        durable: False trades every guarantee after a crash for speed.
    """

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
        """The postmaster's process id."""
        return self._process.pid

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def url(self, database: str = "postgres") -> str:
        """Return the SQLAlchemy address of a database."""
        return f"postgresql+psycopg://{SUPERUSER}@{LOOPBACK}:{self.port}/{database}"

    def start(self) -> None:
        """Start the server, with new data where there are none; returns when it answers."""
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """Start the server without waiting for it to answer."""
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
        """Block until the server takes queries."""
        self._process.wait_until(self.is_ready, timeout=START_SECONDS)

    def is_ready(self) -> bool:
        """Tell whether the server takes queries now."""
        try:
            self._connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def stop(self) -> None:
        """Shut down cleanly without waiting for clients (PostgreSQL's "fast" mode)."""
        self._process.end(signal.SIGINT, timeout=STOP_SECONDS)

    def kill_immediate(self) -> None:
        """End as after a crash: no checkpoint, recovery at the next start."""
        self._process.end(signal.SIGQUIT, timeout=STOP_SECONDS)

    def freeze(self) -> None:
        """Suspend the server: its connections stay open while nothing is read or answered."""
        self._signal_all(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen server go on."""
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, number: signal.Signals) -> None:
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text(encoding="ascii").split()
        for pid in (self.pid, *map(int, children)):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def restart(self) -> None:
        """Stop cleanly and start again on the same port and data."""
        self.stop()
        self.start()

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
    """Pass nothing on that would steer the server, such as PGDATA or PGPORT."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"}


@functools.cache
def _server_user() -> pwd.struct_passwd | None:
    """Return whom the server runs as when we are root, which PostgreSQL refuses to be."""
    if os.geteuid() != 0:
        return None
    known = {user.pw_name: user for user in pwd.getpwall()}
    return known.get("postgres") or known["nobody"]


def unprivileged() -> list[str]:
    """Return the command prefix that drops root.

    The user keeps the one capability to walk through directories that are closed to it, because
    the data may lie in a temporary directory that is open to root alone.
    """
    user = _server_user()
    if user is None:
        return []
    capabilities = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", *capabilities]
