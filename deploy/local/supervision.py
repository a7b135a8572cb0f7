"""Several processes in one terminal: each line under its process's name, all ending together.

honcho would do most of this, but a signal in the moment of starting leaves its processes behind (it
looks up a process id that has not been reported yet), and it does not tell which process ended first.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import TextIO

import click

from deploy.local.leftovers import MARK

# A closed terminal (SIGHUP) is as good a reason to clean up as Ctrl-C.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
COLOURS = ("cyan", "yellow", "green", "magenta", "blue")

# The edge may finish its requests for 20 seconds, and a worker its batch; what takes longer is killed.
END_SECONDS = 25.0


class Supervisor:
    """Runs processes until one of them ends, a signal comes or `end` is called; then ends them all.

    Args:
        commands: by the name of the process; each gets a session of its own, so that Ctrl-C reaches
            it only through the supervisor.
        directory: where they run; marks them, so that leftovers of a killed run are found.
        output: takes all their lines; standard output where None.
    """

    def __init__(
        self, commands: Mapping[str, Sequence[str]], directory: Path, *, output: TextIO | None = None
    ) -> None:
        self._commands = commands
        self._directory = directory
        self._output = output
        self._processes: dict[str, subprocess.Popen[str]] = {}
        self._relays: list[Thread] = []
        # Why it all ends: a process's last words, or None where the end was asked for. Putting into this
        # kind of queue is allowed in a signal handler.
        self._reasons: SimpleQueue[str | None] = SimpleQueue()

    def run(self, beside: Callable[[], None]) -> str | None:
        """Start the processes, call `beside` in a thread, and block until all have ended.

        Returns:
            Which process ended by itself and how, such as "edge ended with status 1"; None where a
            signal or `end` asked for it.
        """
        for number in SIGNALS:
            signal.signal(number, lambda *_: self.end())
        width = max(map(len, self._commands))
        try:
            for (name, command), colour in zip(self._commands.items(), cycle(COLOURS), strict=False):
                self._start(name, command, click.style(f"{name:<{width}} | ", fg=colour))
            Thread(target=beside, daemon=True).start()
            return self._reasons.get()
        finally:
            self._end_all()

    def end(self) -> None:
        """Ask all processes to end, from a thread or a signal handler."""
        self._reasons.put(None)

    def _start(self, name: str, command: Sequence[str], prefix: str) -> None:
        process = subprocess.Popen(
            command,
            cwd=self._directory,
            env={**os.environ, MARK: str(self._directory)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._processes[name] = process
        relay = Thread(target=self._relay, args=(process, prefix), daemon=True)
        relay.start()
        self._relays.append(relay)
        # Apart from the relay: the pipe stays open while a grandchild lives on.
        Thread(target=self._watch, args=(name, process), daemon=True).start()

    def _relay(self, process: subprocess.Popen[str], prefix: str) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                click.echo(prefix + line.rstrip("\n"), file=self._output)

    def _watch(self, name: str, process: subprocess.Popen[str]) -> None:
        self._reasons.put(f"{name} ended with status {process.wait()}")

    def _end_all(self) -> None:
        for process in self._processes.values():
            process.terminate()
        deadline = time.monotonic() + END_SECONDS
        for process in self._processes.values():
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        for relay in self._relays:
            # The last lines often say why; a grandchild that keeps the pipe open is not waited for.
            relay.join(timeout=1.0)
