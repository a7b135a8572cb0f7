"""Start server processes on free ports, and end them, even those that a killed run left behind."""

import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from types import FrameType

import psutil

MARK = "OPEN_MESSAGING_STARTED_IN"
"""The environment variable that marks each process started here; its value is the process's directory."""
POLL_SECONDS = 0.05
ORPHAN_SECONDS = 10.0
# The servers must also end when the terminal is closed (SIGHUP), not only on Ctrl-C.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Within this time, the edge finishes its requests (20 seconds suffice), and a worker finishes its batch.
END_SECONDS = 25.0

LOOPBACK = "127.0.0.1"

# These ports are below the kernel's ephemeral range, so no outgoing connection from this machine can take a
# port between the check that it is free and the moment when the server binds it.
MIN_PORT = 20_000
MAX_PORT = 32_000

Wait = Callable[[Callable[[], bool], float], bool]


class ServerStartError(RuntimeError):
    """A server did not start. The message quotes the end of its output and names the file with the rest."""


class ServerProcess:
    """A child process whose output goes to a file or, without a file, to this process's own output.

    It has its own session, so that Ctrl-C reaches only the parent process, which ends all servers in order.
    """

    def __init__(self, name: str, output: Path | None) -> None:
        self.name = name
        self._output = output
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id, which is available between `launch` and `end`."""
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
        """Block until the server is ready; raise ServerStartError if its process ends, or after *timeout*."""
        deadline = time.monotonic() + timeout
        while not is_ready():
            if not self.is_running:
                raise ServerStartError(f"{self.name} ended while starting:\n{self._last_output()}")
            if time.monotonic() > deadline:
                raise ServerStartError(f"{self.name} did not answer:\n{self._last_output()}")
            time.sleep(POLL_SECONDS)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process if it was launched."""
        if self._process:
            self._process.send_signal(number)

    def end(self, number: signal.Signals, *, timeout: float) -> None:
        """Send a signal and wait until the process ends; kill it after *timeout* seconds.

        Its remaining children are killed too, unless the signal is SIGKILL, which simulates a crash.
        """
        if self._process is None:
            return
        self.send(number)
        # A suspended process handles no signal except SIGKILL until it is resumed.
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
    """Make SIGNALS raise SystemExit in this process, so that it ends everything that it started."""

    def leave(number: int, _: FrameType | None) -> None:
        for later in SIGNALS:
            # Ignore a second signal: it would interrupt the exit and leave servers behind.
            signal.signal(later, lambda *_: None)
        raise SystemExit(128 + number)

    for number in SIGNALS:
        signal.signal(number, leave)


@contextmanager
def run_processes(
    commands: Mapping[str, Sequence[str]], directory: Path, *, output: Path | None = None
) -> Iterator[Wait]:
    """Run each named command as a process during a `with` block, and end all processes after it.

    *directory* marks the processes, so that `end_orphans` finds those of a killed run. Their output goes to
    the file *output* or, if that is None, to standard output. The yielded function blocks until a condition
    is met and returns True, or until a number of seconds has passed and returns False. It raises
    ServerStartError as soon as any process ends by itself.
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
    """End every process that this module started in *directory* or below it.

    The caller must hold the lock of *directory*, so that none of the processes belongs to another live run.
    """
    # psutil returns no environment (None) for another user's process.
    started = {one: (one.info["environ"] or {}).get(MARK) for one in psutil.process_iter(["environ"])}
    left = [process for process, mark in started.items() if mark and Path(mark).is_relative_to(directory)]
    for end in (psutil.Process.terminate, psutil.Process.kill):
        for process in left:
            with suppress(psutil.NoSuchProcess):
                end(process)
        _, left = psutil.wait_procs(left, ORPHAN_SECONDS)


def free_port() -> int:
    """Return a free loopback port; while this process runs, this function gives it to no other process."""
    for port in random.sample(range(MIN_PORT, MAX_PORT), k=1000):
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((LOOPBACK, port))
            # A name in Linux's abstract namespace leaves no file, and becomes free when this process ends.
            with socket.socket(socket.AF_UNIX) as reservation:
                reservation.bind(f"\0open-messaging-port-{port}")
                # The descriptor stays open for the rest of this process.
                reservation.detach()
            return port
    raise OSError(f"no free port between {MIN_PORT} and {MAX_PORT}")


def answers(port: int, *, host: str = LOOPBACK) -> bool:
    """Return whether a server accepts a connection on the port; this takes half a second at most."""
    with suppress(OSError), socket.create_connection((host, port), timeout=0.5):
        return True
    return False
