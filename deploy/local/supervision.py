"""Several processes in one terminal: each line under its process's name, all ending together."""

import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Thread
from typing import Any, TextIO

import honcho.manager
from honcho.manager import SYSTEM_PRINTER_NAME, Manager
from honcho.printer import Printer

from deploy.local.leftovers import MARK

# honcho kills what has not ended by then, and the edge may finish its requests for 20 seconds.
honcho.manager.KILL_WAIT = 25


class _Observer(Printer):  # type: ignore[misc]  # honcho has no annotations
    """A printer that notices what honcho only prints: the first start, and why it all ended."""

    def __init__(self, output: TextIO, once_started: Callable[[], None]) -> None:
        super().__init__(output)
        self.end: str | None = None
        self._once_started: Callable[[], None] | None = once_started

    def write(self, message: Any) -> None:
        super().write(message)
        if message.name == SYSTEM_PRINTER_NAME:
            self._notice(message.data.strip())

    def _notice(self, line: str) -> None:
        if self.end is None and (" stopped (rc=" in line or line.endswith(" received")):
            self.end = line
        if " started (pid=" in line and self._once_started:
            # By now every process is forked, which had better not happen beside a thread.
            Thread(target=self._once_started, daemon=True).start()
            self._once_started = None


class Supervisor:
    """Runs processes until one of them ends, a signal comes or `end` is called; then ends them all.

    Args:
        commands: shell commands by name; each becomes a process with a session of its own, so that
            Ctrl-C reaches it only through the supervisor.
        directory: where they run; marks them, so that leftovers of a killed run are found.
        once_started: runs in a thread beside them.
        output: takes all their lines.
    """

    def __init__(
        self,
        commands: Mapping[str, str],
        directory: Path,
        *,
        once_started: Callable[[], None],
        output: TextIO = sys.stdout,
    ) -> None:
        self._observer = _Observer(output, once_started)
        self._manager = Manager(self._observer)
        self._was_asked = False
        environment = {**os.environ, MARK: str(directory)}
        for name, command in commands.items():
            self._manager.add_process(name, command, env=environment, cwd=str(directory))

    def run(self) -> str | None:
        """Block until all have ended.

        Returns:
            Which process ended by itself and how, such as "edge stopped (rc=1)"; None where a signal
            or `end` asked for it.
        """
        # A closed terminal is as good a reason to clean up as Ctrl-C.
        signal.signal(signal.SIGHUP, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
        self._manager.loop()
        end = self._observer.end or ""
        return None if self._was_asked or end.endswith(" received") else end

    def end(self) -> None:
        """Ask all processes to end; for the thread that runs beside them."""
        self._was_asked = True
        self._manager.terminate()
