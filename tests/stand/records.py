"""Read a sender's records of all its tries, and derive figures from them."""

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
"""A record with this number is a mark: all tries that were due before its `due` are concluded."""

REFUSED, RESET, CLOSED, TIMEOUT, MALFORMED, OTHER = range(-1, -7, -1)
NAMES: Final = {
    REFUSED: "refused",
    RESET: "reset",
    CLOSED: "closed without an answer",
    TIMEOUT: "timed out",
    MALFORMED: "malformed answer",
    OTHER: "another failure",
}
"""The kind of failure that each negative status stands for."""


class Tried(NamedTuple):
    """One try of a request; its times are in monotonic seconds of this machine.

    Args:
        due: When the try was due.
        sent: When it was sent.
        ended: When it was answered or failed.
        status: The HTTP status, or one of NAMES.
        retry_after: Whole seconds; 0 if the answer had no Retry-After.
        attempt: 1 for the first try of an event.
        is_final: Whether the sender gives up on the event, because this try failed and is not retried.
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
        """Return how many seconds passed between the time when the try was due and its end."""
        return self.ended - self.due


def percentile(values: Iterable[float], percent: float) -> float:
    """Return the smallest value that *percent* percent of the values do not exceed; 0 without values."""
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
        """Return how often each outcome occurred; failures are listed by their names."""
        return dict(Counter(NAMES.get(each.status, str(each.status)) for each in self.tries))

    @property
    def given_up(self) -> int:
        """Return the number of events on which the sender gave up after the last permitted retry."""
        return sum(each.is_final for each in self.tries)

    @property
    def rate(self) -> float:
        """Return how many requests and retries per second were due between the first and last new request."""
        new = [each.due for each in self.tries if each.attempt == 1]
        begin, end = min(new, default=0.0), max(new, default=0.0)
        return sum(begin <= each.due < end for each in self.tries) / (end - begin) if end > begin else 0.0

    def latency(self, percent: float) -> float:
        """Return a percentile of all tries' latencies, including refused and failed tries, in seconds."""
        return percentile((each.latency for each in self.tries), percent)

    @property
    def longest_stall(self) -> float:
        """Return the longest time that one try took, or during which no try got a 200, in seconds.

        The period begins when the first try is due, and ends when the last try ends, whatever their outcome.
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
    """A sender's file of records, read while it grows.

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
        """Read the records that were appended since the last call, and return their tries."""
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
