"""Run one program, and restart it when it ends, as systemd would."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

STOP_SECONDS = 40.0
LOOK_SECONDS = 0.1


class Program:
    """A command that must keep running, as a master process and its children.

    `priority` is the program's niceness from its next start on.

    Args:
        name: The name for logs.
        command: The program and its arguments.
        environment: The program's whole environment.
        directory: The working directory.
        log: The file to which the output of every run is appended.
        descriptor: The descriptor of a listening socket that the program inherits, or -1.
    """

    def __init__(
        self,
        name: str,
        command: list[str],
        environment: dict[str, str],
        directory: Path,
        log: Path,
        *,
        descriptor: int = -1,
    ) -> None:
        self.name = name
        self.environment = environment
        self.log = log
        self.starts = 0
        self.spares_orphans = False
        self.prefix: list[str] = []
        self.priority = 0
        self._command = command
        self._directory = directory
        self._descriptor = descriptor
        self._lock = threading.Lock()
        self._wanted = False
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The master's process id."""
        assert self._process is not None
        return self._process.pid

    @contextmanager
    def running(self) -> Iterator[Program]:
        """Run the program for a `with` block without restarting it, and stop it cleanly afterwards."""
        self.start()
        try:
            yield self
        finally:
            self.stop()

    @property
    def is_running(self) -> bool:
        """Return whether the master is running."""
        return self._process is not None and self._process.poll() is None

    def children(self) -> list[int]:
        """Return the process ids of the master's children, oldest first."""
        with suppress(psutil.NoSuchProcess):
            return [child.pid for child in psutil.Process(self.pid).children()]
        return []

    def start(self) -> None:
        """Start the program; from now on, a supervisor restarts it whenever it ends."""
        with self._lock:
            self._wanted = True
            self._launch()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Signal the master, wait for it to end, and then kill the remaining processes."""
        with self._lock:
            self._wanted = False
            if self._process is None:
                return
            if self.is_running:
                self._process.send_signal(number)
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(STOP_SECONDS)
            self._kill_group()

    def restart(self) -> None:
        """Stop the program cleanly, and start it again."""
        self.stop()
        self.start()

    def reconfigure(self, **settings: str) -> None:
        """Restart the program with changed settings."""
        self.stop()
        self.environment = {**self.environment, **settings}
        self.start()

    def run_from(self, directory: Path) -> None:
        """Use another directory's code from the next start; missing modules come from the first directory."""
        *_, first = self.environment["PYTHONPATH"].split(os.pathsep)
        self._directory = directory
        self.environment = {**self.environment, "PYTHONPATH": f"{directory}{os.pathsep}{first}"}

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the master alone."""
        os.kill(self.pid, number)

    def revive(self) -> None:
        """Restart the program if it has ended without being stopped."""
        with self._lock:
            if self._wanted and not self.is_running:
                if not self.spares_orphans:
                    self._kill_group()
                self._launch()

    def _launch(self) -> None:
        self.starts += 1
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [*self.prefix, *self._command],
                env=self.environment,
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(self._descriptor,) if self._descriptor >= 0 else (),
            )
        with suppress(OSError):
            # Linux first divides the processors among sessions, and only this file changes a session's share.
            Path(f"/proc/{self._process.pid}/autogroup").write_text(str(self.priority), encoding="ascii")

    def _kill_group(self) -> None:
        """Kill the processes that the master left running, as KillMode=mixed does."""
        assert self._process is not None
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


class Supervisor:
    """A thread that restarts ended programs."""

    def __init__(self, programs: Iterable[Program]) -> None:
        self._programs = list(programs)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop restarting programs."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(LOOK_SECONDS):
            for program in self._programs:
                program.revive()
