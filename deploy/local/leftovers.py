"""End what an earlier run left behind when it was killed before it could clean up."""

from contextlib import suppress
from pathlib import Path

import psutil

# In the environment of every process that is started here; its value is the directory it works in.
MARK = "OPEN_MESSAGING_STARTED_IN"
END_SECONDS = 10.0


def end_leftovers(directory: Path) -> None:
    """End every process that was started in the directory or below it.

    The caller holds the directory's lock, so that none of them belongs to a run that still goes on.
    """
    left = [process for process in psutil.process_iter(["environ"]) if _is_of(process, directory)]
    for end in (psutil.Process.terminate, psutil.Process.kill):
        for process in left:
            with suppress(psutil.NoSuchProcess):
                end(process)
        _, left = psutil.wait_procs(left, END_SECONDS)


def _is_of(process: psutil.Process, directory: Path) -> bool:
    # Of other users' processes nothing is known.
    environment: dict[str, str] = process.info["environ"] or {}
    return MARK in environment and Path(environment[MARK]).is_relative_to(directory)
