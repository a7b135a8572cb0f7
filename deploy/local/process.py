"""A server process that was started here and is ended by its own id."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from deploy.local.leftovers import MARK

POLL_SECONDS = 0.05


class ServerStartError(RuntimeError):
    """The server did not come up; the message says where its output is."""


class ServerProcess:
    """One child process with its output in a file, or where this process's own goes.

    It gets a session of its own: a Ctrl-C in the terminal reaches the person's command, which then
    stops its servers in the right order, and never the servers directly.
    """

    def __init__(self, name: str, output: Path | None) -> None:
        self.name = name
        self._output = output
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id; only valid between `launch` and the end of the process."""
        if self._process is None:
            raise RuntimeError(f"{self.name} is not running")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Tell whether the process was launched and has not ended."""
        return self._process is not None and self._process.poll() is None

    def launch(
        self, command: Sequence[str | Path], *, environment: Mapping[str, str], directory: Path
    ) -> None:
        """Start the process and return at once."""
        with self._output.open("ab") if self._output else contextlib.nullcontext() as output:
            self._process = subprocess.Popen(
                command,
                env={**environment, MARK: str(directory)},
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT if output else None,
                start_new_session=True,
            )

    def wait(self) -> int:
        """Block until the process ends and return its exit status."""
        assert self._process is not None
        return self._process.wait()

    def wait_until(self, is_ready: Callable[[], bool], *, timeout: float) -> None:
        """Block until the server answers.

        Raises:
            ServerStartError: it ended, or did not answer within `timeout`.
        """
        deadline = time.monotonic() + timeout
        while not is_ready():
            if not self.is_running:
                raise ServerStartError(f"{self.name} ended while starting:\n{self._last_words()}")
            if time.monotonic() > deadline:
                raise ServerStartError(f"{self.name} did not answer:\n{self._last_words()}")
            time.sleep(POLL_SECONDS)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to a running process; a process that has ended is left alone."""
        if self._process:
            self._process.send_signal(number)

    def end(self, number: signal.Signals, *, timeout: float) -> None:
        """Signal the process and wait for its end; past `timeout` it is killed.

        So is then what it has left behind, unless it was to die as by a crash, which leaves its children.
        """
        if self._process is None:
            return
        self.send(number)
        # A stopped process takes no signal but SIGKILL before it is continued.
        self.send(signal.SIGCONT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout)
        if number != signal.SIGKILL:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def _last_words(self) -> str:
        if self._output is None:
            return "(its output stands above)"
        with contextlib.suppress(OSError):
            lines = self._output.read_text(errors="replace").splitlines()
            return "\n".join([*lines[-15:], f"(all of it: {self._output})"])
        return f"(no output in {self._output})"
