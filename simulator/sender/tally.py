"""Count what became of the posts, for the summary and the progress bar."""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Summary:
    """What a simulation did; latencies in seconds, of the requests that were answered."""

    posts: int
    requests: int
    answered: int
    unanswered: int
    retries: int
    by_status: dict[str, int]
    p50: float
    p99: float
    seconds: float
    rate: float


@dataclass(slots=True)
class Tally:
    """The running counts. Its owner guards it."""

    settled: int = 0
    answered: int = 0
    requests: int = 0
    retries: int = 0
    by_status: Counter[str] = field(default_factory=Counter)
    latencies: array[float] = field(default_factory=lambda: array("d"))

    def note_request(self, status: int | None, latency: float) -> None:
        """Count one request and its answer, None where there was none."""
        self.requests += 1
        self.by_status["no answer" if status is None else str(status)] += 1
        if status is not None:
            self.latencies.append(latency)

    def summary(self, seconds: float) -> Summary:
        """Return the counts after *seconds* of sending."""
        ordered = sorted(self.latencies)
        return Summary(
            posts=self.settled,
            requests=self.requests,
            answered=self.answered,
            unanswered=self.settled - self.answered,
            retries=self.retries,
            by_status=dict(sorted(self.by_status.items())),
            p50=percentile(ordered, 0.50),
            p99=percentile(ordered, 0.99),
            seconds=seconds,
            rate=self.requests / seconds if seconds else 0.0,
        )


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest value that at least *share* of the *ordered* values do not exceed; 0 of none."""
    if not ordered:
        return 0.0
    return ordered[max(0, -(-len(ordered) * round(share * 100) // 100) - 1)]
