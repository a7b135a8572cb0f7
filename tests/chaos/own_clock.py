"""Measure time, excluding the time that any of the given processes spends waiting for a processor."""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.stand.records import Seen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tests.stand.records import Tried

LOOK_SECONDS: Final = 0.1
PROCESSES: Final = Path("/proc")


class OwnClock:
    """A clock that excludes the time in which threads were ready to run but had no processor.

    The kernel measures this time for each thread. A thread that sleeps, or that waits for a disk, a lock or
    an answer, is not ready to run, so the clock includes that time. If several threads wait for a processor
    at the same time, the clock excludes the longest of their waits.

    Args:
        processes: Returns the ids of the processes to watch. Their children are watched, too.
        every: The number of seconds between two readings of all threads' waits.
    """

    def __init__(self, processes: Callable[[], Iterable[int]], *, every: float = LOOK_SECONDS) -> None:
        self._processes = processes
        self._waits: dict[str, float] = {}
        self._moments, self._held = [time.monotonic()], [0.0]
        self._every = every
        self._closed = threading.Event()
        self._look(is_first=True)
        threading.Thread(target=self._run, daemon=True).start()

    @property
    def started(self) -> float:
        """The start of the measurement on the machine's monotonic clock."""
        return self._moments[0]

    def close(self) -> None:
        """Stop measuring."""
        self._closed.set()

    def note(self, moment: float, waited: float) -> None:
        """Record that a thread waited for *waited* seconds between the last recorded moment and *moment*."""
        waited = min(waited, moment - self._moments[-1])
        self._moments.append(moment)
        self._held.append(self._held[-1] + waited)

    def at(self, moment: float) -> float:
        """Return this clock's value at a given time on the machine's monotonic clock."""
        after = bisect_right(self._moments, moment, hi=len(self._held))
        if not 0 < after < len(self._held):
            return moment - self._held[min(after, len(self._held) - 1)]
        begin, end = self._moments[after - 1 : after + 1]
        share = (moment - begin) / (end - begin)
        return moment - (self._held[after - 1] + share * (self._held[after] - self._held[after - 1]))

    def seen(self, tries: Sequence[Tried]) -> Seen:
        """Return the tries with their times converted to this clock."""
        return Seen(
            [
                each._replace(due=self.at(each.due), sent=self.at(each.sent), ended=self.at(each.ended))
                for each in tries
            ]
        )

    def _run(self) -> None:
        while not self._closed.wait(self._every):
            self._look()

    def _look(self, *, is_first: bool = False) -> None:
        before, self._waits = self._waits, waits_of(self._processes())
        waited = max((wait - before.get(thread, 0.0) for thread, wait in self._waits.items()), default=0.0)
        if not is_first:
            self.note(time.monotonic(), waited)


def waits_of(processes: Iterable[int]) -> dict[str, float]:
    """Return how many seconds each thread of the processes and their children has waited for a processor."""
    found = {}
    for pid in processes:
        for each in [str(pid), *_children(pid)]:
            for thread in _entries(PROCESSES / each / "task"):
                with suppress(OSError, IndexError):
                    # The second field: ns in a run queue. Source: Documentation/scheduler/sched-stats.rst.
                    found[thread.name] = int((thread / "schedstat").read_text().split()[1]) / 1e9
    return found


def _children(pid: int) -> list[str]:
    with suppress(OSError):
        return (PROCESSES / str(pid) / "task" / str(pid) / "children").read_text().split()
    return []


def _entries(directory: Path) -> list[Path]:
    with suppress(OSError):
        return list(directory.iterdir())
    return []
