"""End what an earlier run left behind when it was killed before it could clean up."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

# In the environment of every process that is started here; its value is the directory it works in.
MARK = "OPEN_MESSAGING_STARTED_IN"
END_SECONDS = 10.0


def end_leftovers(directory: Path) -> None:
    """End every process that was started in the directory or below it.

    The caller holds the directory's lock, so that none of them belongs to a run that still goes on.
    """
    for number in (signal.SIGTERM, signal.SIGKILL):
        _signal_all(directory, number)
        deadline = time.monotonic() + END_SECONDS
        while list(_marked(directory)) and time.monotonic() < deadline:
            time.sleep(0.1)


def _signal_all(directory: Path, number: signal.Signals) -> None:
    for pid in _marked(directory):
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _marked(directory: Path) -> Iterator[int]:
    """Yield the processes with the mark; a system without /proc has none to show."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            place = _mark_of((process / "environ").read_bytes())
            if place and place.is_relative_to(directory):
                yield int(process.name)


def _mark_of(environment: bytes) -> Path | None:
    for entry in environment.split(b"\0"):
        name, _, value = entry.partition(b"=")
        if name == MARK.encode():
            return Path(os.fsdecode(value))
    return None
