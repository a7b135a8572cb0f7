"""Decide which events a comparison covers; events that could still arrive or be deleted are left out."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Engine

from workers.db.engine import transact
from workers.db.reconcile import Arrivals, ComparisonWatermarks, read_arrivals
from workers.reconcile.publishing import EventsExchange

HORIZON_DAYS: Final = 7
"""Older events are not compared: those deleted after OM_RETENTION_DAYS would look missing."""

DAY_US: Final = 86_400_000_000

MARGIN_US: Final = 180_000_000
"""Only an event older than this counts as missing. The platform retries for 85 seconds, a window takes at
least two more seconds, and the platform's analytics lag a little."""

OVERLAP_US: Final = 3_600_000_000
"""Overlap between the lists of consecutive comparisons, because the platform's list lags a little."""

MIN_COMPARED: Final = 50
"""A mismatch can be detected only if at least this number of our events was looked up in the history."""

MAX_UNMATCHED_SHARE: Final = 20
"""If the history lacks more than one in 20 of our events, the comparison itself is wrong."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The interval that is compared, in microseconds since the epoch. The end is excluded."""

    from_us: int
    to_us: int

    def contain(self, at_us: int) -> bool:
        """Return whether an event that occurred at *at_us* is compared."""
        return self.from_us <= at_us < self.to_us


def is_mismatch(ours: int, unmatched: int) -> bool:
    """Return whether the comparison itself is wrong, because the history lacks too many of our events.

    The opposite is not an error: after an outage, we can lack many events of the history.
    """
    return ours >= MIN_COMPARED and unmatched * MAX_UNMATCHED_SHARE > ours


def is_due(watermarks: ComparisonWatermarks, now_us: int, interval_us: int) -> bool:
    """Return whether the timer's next comparison should begin now."""
    is_idle = not (watermarks.is_under_way or watermarks.is_blocked)
    return is_idle and (watermarks.started_us is None or now_us - watermarks.started_us >= interval_us)


def compare_from(watermarks: ComparisonWatermarks, now_us: int, horizon_us: int) -> int:
    """Return the start of a comparison: the start of the first comparison or, if it is later, the horizon."""
    first = now_us if watermarks.first_from_us is None else watermarks.first_from_us
    return max(first, now_us - horizon_us)


def compare_to(now_us: int, *, waiting: int, arrivals: Arrivals) -> int:
    """Return the end of a comparison: all events before it have had time to arrive and to be processed.

    Messages waiting in the events queue arrived after the newest processed event. If a recent arrival was
    late, an edge is still publishing events that an outage left in its journal.
    """
    limits = (now_us, arrivals.newest_us if waiting else None, arrivals.late_us)
    return min(limit for limit in limits if limit is not None) - MARGIN_US


def safe_cutoff(engine: Engine, exchange: EventsExchange, now_us: int) -> int:
    """Return the latest possible end of a comparison, in epoch microseconds; this can take seconds."""
    horizon_us = HORIZON_DAYS * DAY_US
    arrivals = transact(engine, read_arrivals, now_us, MARGIN_US, horizon_us)
    return compare_to(now_us, waiting=exchange.count_waiting(), arrivals=arrivals)
