"""Start the product's programs with given servers, from this checkout or from a copy of it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import requests

from tests.servers import LOOPBACK, free_port
from tests.stand.program import Program

SOURCES = Path(__file__).resolve().parents[2]
SECRET = b"constructed-for-the-stand"
ACTIVATE = Path(__file__).with_name("activate.py")
PROCESSES = 2
BACKLOG = 2048


class Product:
    """The edge, the workers and omctl, all with the same settings.

    This object keeps the edge's listening socket open and passes it to each edge that starts, as systemd's
    socket unit does.

    Args:
        directory: The directory for logs and, by default, the edge's state.
        settings: The OM_ variables that have no default, and those that differ from their default.
        sources: The directory whose code is run.
    """

    def __init__(self, directory: Path, settings: dict[str, str], *, sources: Path = SOURCES) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.settings = settings
        self.sources = sources
        self._listener = _listen()
        self.port: int = self._listener.getsockname()[1]

    def environment(self) -> dict[str, str]:
        """Return the whole environment of every program."""
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(self.sources),
            "PYTHONUNBUFFERED": "1",
            "OM_STATE_DIRECTORY": str(self.directory / "state"),
            # Retention must delete no events: the traffic's timestamps begin at a fixed time in the past.
            "OM_RETENTION_DAYS": "36500",
            "OM_WEBHOOK_SECRETS": SECRET.decode(),
            "OM_EDGE_PROCESSES": str(PROCESSES),
            "OM_BIND": f"{LOOPBACK}:{self.port}",
            **self.settings,
        }

    def edge(self, *, configuration: str = "webhook_api.gunicorn_conf", **settings: str) -> Program:
        """Return the edge, not yet started: gunicorn with the documented command."""
        descriptor = self._listener.fileno()
        command = [sys.executable, str(ACTIVATE), str(descriptor), sys.executable, "-m", "gunicorn"]
        command += ["-c", f"python:{configuration}"]
        return self._program("edge", command, settings, descriptor=descriptor)

    def worker(
        self,
        name: str = "worker-1",
        *,
        runs: tuple[str, ...] = ("-m", "workers"),
        role: str = "intake",
        **settings: str,
    ) -> Program:
        """Return one worker, not yet started; *runs* is the module or the script that Python runs."""
        # retain is run once by a timer, and has no name.
        named = () if role == "retain" else ("--name", name)
        command = [sys.executable, *runs, role, *named]
        return self._program(name, command, settings)

    def omctl(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the operator's command line with these settings."""
        command = [sys.executable, "-m", "omctl", *arguments]
        done = subprocess.run(
            command, env=self.environment(), cwd=self.sources, capture_output=True, text=True, check=False
        )
        assert not check or done.returncode == 0, f"omctl {arguments[0]}: {done.stdout}{done.stderr}"
        return done

    def health(self) -> dict[str, Any]:
        """Return the edge's health report; empty if the edge does not answer."""
        try:
            answer = requests.get(f"http://{LOOPBACK}:{self.port}/health/ready", timeout=5)
            report: dict[str, Any] = answer.json()
        except (requests.RequestException, ValueError):
            return {}
        return report

    def is_connected(self, processes: int = PROCESSES) -> bool:
        """Return whether at least this number of edge processes are connected to the broker."""
        report = self.health().get("processes", [])
        return sum(process["journal"]["broker"] == "up" for process in report) >= processes

    def close(self) -> None:
        """Close the listening socket."""
        self._listener.close()

    def _program(
        self, name: str, command: list[str], settings: dict[str, str], *, descriptor: int = -1
    ) -> Program:
        environment = self.environment() | settings
        log = self.directory / f"{name}.log"
        return Program(name, command, environment, self.sources, log, descriptor=descriptor)


def _listen() -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((LOOPBACK, free_port()))
    listener.listen(BACKLOG)
    return listener
