"""Several processes in one terminal, all ending together.

They write to the terminal themselves, a whole line at a time, and every line says who writes it.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from deploy.local.process import ServerProcess, ServerStartError

# A closed terminal (SIGHUP) is as good a reason to clean up as Ctrl-C.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

# The edge may finish its requests for 20 seconds, and a worker its batch; what takes longer is killed.
END_SECONDS = 25.0
POLL_SECONDS = 0.1

Wait = Callable[[Callable[[], bool], float], bool]


def leave_in_order() -> None:
    """Have a signal end this process by SystemExit, so that what it started is ended on the way."""

    def leave(number: int, _: FrameType | None) -> None:
        for each in SIGNALS:
            # A second one, from somebody who has no patience, must not leave servers behind.
            signal.signal(each, lambda *_: None)
        raise SystemExit(128 + number)

    for each in SIGNALS:
        signal.signal(each, leave)


@contextmanager
def running(
    commands: Mapping[str, Sequence[str]], directory: Path, *, output: Path | None = None
) -> Iterator[Wait]:
    """Run processes for a `with` block, and end them all after it.

    Args:
        commands: by the name of the process.
        directory: where they run; marks them, so that leftovers of a killed run are found.
        output: a file that takes all their lines; standard output where None.

    Yields:
        What blocks until a condition is so and returns True, or for so many seconds and returns False.
        It raises ServerStartError as soon as one of the processes has ended by itself.
    """
    processes = [ServerProcess(name, output) for name in commands]

    def wait(is_so: Callable[[], bool], seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not is_so():
            for process in processes:
                if not process.is_running:
                    raise ServerStartError(
                        f"{process.name} ended with status {process.wait()}; everything else was stopped"
                    )
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_SECONDS)
        return True

    try:
        for process in processes:
            process.launch(commands[process.name], environment=os.environ, directory=directory)
        yield wait
    finally:
        _end_all(processes)


def _end_all(processes: Sequence[ServerProcess]) -> None:
    deadline = time.monotonic() + END_SECONDS
    for process in processes:
        process.send(signal.SIGTERM)
    for process in processes:
        process.end(signal.SIGTERM, timeout=max(0.0, deadline - time.monotonic()))
