"""Start server processes, end them by their own ids, and end those that a killed run left behind."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from types import FrameType

import psutil

MARK = "OPEN_MESSAGING_STARTED_IN"
"""In the environment of every process that is started here; its value is the working directory."""
POLL_SECONDS = 0.05
ORPHAN_SECONDS = 10.0
# A closed terminal (SIGHUP) is as good a reason to clean up as Ctrl-C.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# The edge may finish its requests for 20 seconds, and a worker its batch; after that they are killed.
END_SECONDS = 25.0

Wait = Callable[[Callable[[], bool], float], bool]


class ServerStartError(RuntimeError):
    """The server did not start; the message contains the end of its output and where the rest is."""


class ServerProcess:
    """One child process with its output in a file, or on this process's own output.

    It gets a session of its own: a Ctrl-C in the terminal reaches the operator's command, which then stops
    its servers in the right order, and never the servers directly.
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
        """Whether the process was launched and has not ended."""
        return self._process is not None and self._process.poll() is None

    def launch(
        self, command: Sequence[str | Path], *, environment: Mapping[str, str], directory: Path
    ) -> None:
        """Start the process and return at once."""
        with self._output.open("ab") if self._output else nullcontext() as output:
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
        """Block until the server is ready; raises ServerStartError if it ends, or after *timeout*."""
        deadline = time.monotonic() + timeout
        while not is_ready():
            if not self.is_running:
                raise ServerStartError(f"{self.name} ended while starting:\n{self._last_output()}")
            if time.monotonic() > deadline:
                raise ServerStartError(f"{self.name} did not answer:\n{self._last_output()}")
            time.sleep(POLL_SECONDS)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process if it runs."""
        if self._process:
            self._process.send_signal(number)

    def end(self, number: signal.Signals, *, timeout: float) -> None:
        """Signal the process and wait for its end; kill it after *timeout*.

        Its remaining children are killed too, unless SIGKILL simulates a crash, which leaves them behind.
        """
        if self._process is None:
            return
        self.send(number)
        # A stopped process takes no signal but SIGKILL before it is continued.
        self.send(signal.SIGCONT)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout)
        if number != signal.SIGKILL:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def _last_output(self) -> str:
        if self._output is None:
            return "(see its output above)"
        with suppress(OSError):
            lines = self._output.read_text(errors="replace").splitlines()
            return "\n".join([*lines[-15:], f"(full output: {self._output})"])
        return f"(no output in {self._output})"


def exit_on_signals() -> None:
    """Make a signal end this process by SystemExit, so that everything it started is ended too."""

    def leave(number: int, _: FrameType | None) -> None:
        for later in SIGNALS:
            # A second one, from an impatient operator, must not leave servers behind.
            signal.signal(later, lambda *_: None)
        raise SystemExit(128 + number)

    for number in SIGNALS:
        signal.signal(number, leave)


@contextmanager
def run_processes(
    commands: Mapping[str, Sequence[str]], directory: Path, *, output: Path | None = None
) -> Iterator[Wait]:
    """Run processes for a `with` block, and end them all after it.

    *commands* are by the process's name. They run in *directory*, which marks them, so that orphans of a
    killed run are found. Their lines go to *output*; None: to standard output.

    Yields a function that blocks until a condition holds and returns True, or for a number of seconds and
    returns False. It raises ServerStartError as soon as one of the processes ends by itself.
    """
    processes = [ServerProcess(name, output) for name in commands]

    def wait(is_done: Callable[[], bool], seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not is_done():
            for process in processes:
                if not process.is_running:
                    ended = f"{process.name} ended with status {process.wait()}"
                    raise ServerStartError(f"{ended}; all others were stopped")
            if time.monotonic() > deadline:
                return False
            time.sleep(2 * POLL_SECONDS)
        return True

    try:
        for process in processes:
            process.launch(commands[process.name], environment=os.environ, directory=directory)
        yield wait
    finally:
        deadline = time.monotonic() + END_SECONDS
        for process in processes:
            process.send(signal.SIGTERM)
        for process in processes:
            process.end(signal.SIGTERM, timeout=max(0.0, deadline - time.monotonic()))


def end_orphans(directory: Path) -> None:
    """End every process that was started in the directory or below it.

    The caller holds the directory's lock, so none of them belongs to a run in progress.
    """
    left = [process for process in psutil.process_iter(["environ"]) if _was_started_in(process, directory)]
    for end in (psutil.Process.terminate, psutil.Process.kill):
        for process in left:
            with suppress(psutil.NoSuchProcess):
                end(process)
        _, left = psutil.wait_procs(left, ORPHAN_SECONDS)


def _was_started_in(process: psutil.Process, directory: Path) -> bool:
    # None for other users' processes.
    environment: dict[str, str] = process.info["environ"] or {}
    return MARK in environment and Path(environment[MARK]).is_relative_to(directory)
