"""Several processes in one terminal, all ending together.

They write to the terminal themselves, a whole line at a time, and every line says who writes it.
"""

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

from deploy.local.process import ServerProcess

# A closed terminal (SIGHUP) is as good a reason to clean up as Ctrl-C.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

# The edge may finish its requests for 20 seconds, and a worker its batch; what takes longer is killed.
END_SECONDS = 25.0


class Supervisor:
    """Runs processes until one of them ends, a signal comes or `end` is called; then ends them all.

    Args:
        commands: by the name of the process; each gets a session of its own, so that Ctrl-C reaches
            it only through the supervisor.
        directory: where they run; marks them, so that leftovers of a killed run are found.
        output: a file that takes all their lines; standard output where None.
    """

    def __init__(
        self, commands: Mapping[str, Sequence[str]], directory: Path, *, output: Path | None = None
    ) -> None:
        self._commands = commands
        self._directory = directory
        self._processes = [ServerProcess(name, output) for name in commands]
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
        try:
            for process in self._processes:
                command = self._commands[process.name]
                process.launch(command, environment=os.environ, directory=self._directory)
                Thread(target=self._watch, args=(process,), daemon=True).start()
            Thread(target=beside, daemon=True).start()
            return self._reasons.get()
        finally:
            self._end_all()

    def end(self) -> None:
        """Ask all processes to end, from a thread or a signal handler."""
        self._reasons.put(None)

    def _watch(self, process: ServerProcess) -> None:
        self._reasons.put(f"{process.name} ended with status {process.wait()}")

    def _end_all(self) -> None:
        deadline = time.monotonic() + END_SECONDS
        for process in self._processes:
            process.send(signal.SIGTERM)
        for process in self._processes:
            process.end(signal.SIGTERM, timeout=max(0.0, deadline - time.monotonic()))
