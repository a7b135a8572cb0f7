"""Define the message, among the events, in which an edge process reports its answers to the workers.

It crosses journal and broker like an event, so that it survives what events survive, and holds counts alone.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any, Final

BOUNDS_SECONDS: Final = (0.01, 0.1, 1.0, 3.0, 10.0)
"""The product's own promise; two between; the guide's limit; the platform's."""

STATUSES: Final = (401, 413, 429, 503)
"""Refusals that are counted each by itself; 401 is about a secret, 413 a limit, the others load."""

OTHER: Final = "other"

_INTEGER: Final = 2**31
_MOST_US: Final = 4 * 10**15


@dataclass(frozen=True, slots=True)
class EdgeStatistics:
    """What one process answered in one interval, a minute as a rule.

    Args:
        edge: The host.
        process: Unique to the process.
        began_at_us: When the interval began, microseconds since the epoch, UTC.
        seconds: How long it was.
        answered: Webhooks answered 200.
        within: How many of those took at most as long as each of BOUNDS_SECONDS.
        longest_us: The longest that one took, or may have waited while the process was held up.
        refused: Webhooks and requests that were refused, by the status, or OTHER.
    """

    edge: str
    process: str
    began_at_us: int
    seconds: float
    answered: int
    within: tuple[int, ...]
    longest_us: int
    refused: dict[str, int]

    def encoded(self) -> bytes:
        """Return the message's body."""
        return json.dumps(asdict(self)).encode()


def decoded_statistics(body: bytes) -> EdgeStatistics | None:
    """Read a message's body; None where its form is unknown. Further fields are no fault."""
    try:
        told = json.loads(body)
        statistics = EdgeStatistics(
            edge=str(told["edge"]),
            process=str(told["process"]),
            began_at_us=int(told["began_at_us"]),
            seconds=float(told["seconds"]),
            answered=int(told["answered"]),
            within=tuple(int(each) for each in told["within"]),
            longest_us=int(told["longest_us"]),
            refused=_counts(told["refused"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None
    return statistics if _fits(statistics) else None


def _fits(told: EdgeStatistics) -> bool:
    """Tell whether a database takes it: what one column refused would cost its whole batch."""
    counts = (told.answered, *told.within, *told.refused.values())
    return (
        len(told.within) == len(BOUNDS_SECONDS)
        and all(0 <= count < _INTEGER for count in counts)
        and 0 <= told.longest_us < _MOST_US
        and 0 <= told.began_at_us < _MOST_US
        # NaN is in no range.
        and 0 <= told.seconds < _INTEGER
        and told.edge.isprintable()
        and told.process.isprintable()
    )


def _counts(found: dict[str, Any]) -> dict[str, int]:
    """Return the refusals; those of a status that only a newer edge tells of are among the others."""
    names = [*map(str, STATUSES), OTHER]
    counts = dict.fromkeys(names, 0)
    for status, count in found.items():
        counts[status if status in counts else OTHER] += int(count)
    return counts
