"""The records that a sender writes of every try, and the figures in them."""

from __future__ import annotations

import itertools
import struct
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

RECORD: Final = struct.Struct("<q3d3i?")
MARK: Final = -1
"""The number of a record that is no try: everything due before its `due` is concluded."""

REFUSED, RESET, CLOSED, TIMEOUT, MALFORMED, OTHER = range(-1, -7, -1)
NAMES: Final = {
    REFUSED: "refused",
    RESET: "reset",
    CLOSED: "closed without an answer",
    TIMEOUT: "timed out",
    MALFORMED: "malformed answer",
    OTHER: "another failure",
}
"""The meaning of a status below zero: the way in which the try failed."""


class Tried(NamedTuple):
    """One try: times in monotonic seconds of this machine.

    Args:
        status: Of HTTP, or one of NAMES.
        retry_after: Whole seconds; 0 where the answer named none.
        attempt: 1 for the first.
        is_final: Not answered 200, and not tried again: the platform has given the event up.
    """

    number: int
    due: float
    sent: float
    ended: float
    status: int
    retry_after: int
    attempt: int
    is_final: bool

    @property
    def latency(self) -> float:
        """Return the seconds from the time it was due to its end."""
        return self.ended - self.due


def percentile(values: Iterable[float], percent: float) -> float:
    """Return the smallest value that *percent* of all do not exceed; 0 of none."""
    ordered: Sequence[float] = sorted(values)
    position = max(0, -(-len(ordered) * percent // 100) - 1)
    return ordered[int(position)] if ordered else 0.0


@dataclass(slots=True)
class Seen:
    """All tries that were due in a period."""

    tries: Sequence[Tried]

    @property
    def statuses(self) -> set[int]:
        """Return every status that occurred."""
        return {each.status for each in self.tries}

    @property
    def counts(self) -> dict[str, int]:
        """Return how often each outcome occurred, failures by their names."""
        return dict(Counter(NAMES.get(each.status, str(each.status)) for each in self.tries))

    @property
    def given_up(self) -> int:
        """Return the events that the platform's policy does not retry further."""
        return sum(each.is_final for each in self.tries)

    @property
    def rate(self) -> float:
        """Return how many requests were due a second, including retries, while new ones came."""
        new = [each.due for each in self.tries if each.attempt == 1]
        begin, end = min(new, default=0.0), max(new, default=0.0)
        return sum(begin <= each.due < end for each in self.tries) / (end - begin) if end > begin else 0.0

    def latency(self, percent: float) -> float:
        """Return a percentile of all latencies, in seconds: those of refused and failed tries too."""
        return percentile((each.latency for each in self.tries), percent)

    @property
    def longest_stall(self) -> float:
        """Return the longest time of a try, or without an answer 200, in seconds.

        The stretch begins when the first try is due and ends with the last one, however they ended.
        """
        if not self.tries:
            return 0.0
        longest = max(each.latency for each in self.tries)
        answered = sorted(each.ended for each in self.tries if each.status == 200)
        begin, end = min(each.due for each in self.tries), max(each.ended for each in self.tries)
        gaps = (later - earlier for earlier, later in itertools.pairwise([begin, *answered, end]))
        return max(longest, *gaps)

    def figures(self) -> dict[str, float]:
        """Return the figures of the period for a table: counts, and latencies in milliseconds."""
        latencies = sorted(each.latency for each in self.tries)
        return {
            "tries": len(self.tries),
            "failed": sum(each.status < 0 for each in self.tries),
            "refused": sum(each.status in {429, 503} for each in self.tries),
            "given_up": self.given_up,
            **{
                f"p{name}_ms": round(percentile(latencies, float(name)) * 1e3, 2)
                for name in ("50", "99", "99.9")
            },
            "longest_stall_s": round(self.longest_stall, 2),
        }


class Records:
    """A sender's file, read as it grows.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self.tries: list[Tried] = []
        self.concluded_before = 0.0
        self.waiting_retries = 0

    def read(self) -> list[Tried]:
        """Read the appended records; return the tries since the last call."""
        begin = len(self.tries)
        if self._path.exists():
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
            whole = len(data) - len(data) % RECORD.size
            self._offset += whole
            for values in RECORD.iter_unpack(data[:whole]):
                self._take(Tried(*values))
        return self.tries[begin:]

    def _take(self, tried: Tried) -> None:
        if tried.number == MARK:
            self.concluded_before = tried.due
            self.waiting_retries = tried.retry_after
        else:
            self.tries.append(tried)
