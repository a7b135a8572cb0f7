"""Decide which events a comparison covers: no events still on their way, and none deleted since."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Engine

from workers.db.engine import transact
from workers.db.reconcile import Arrivals, Watermarks, read_arrivals
from workers.reconcile.publishing import EventsExchange

HORIZON_DAYS: Final = 7
"""Older events are not compared: events deleted after OM_RETENTION_DAYS would look missing."""

DAY_US: Final = 86_400_000_000

MARGIN_US: Final = 180_000_000
"""An event may be on its way for this long before it counts as missing. The platform retries for 85 seconds,
a window takes at least two more, and the platform's analytics also lag a little."""

OVERLAP_US: Final = 3_600_000_000
"""Each comparison lists an additional hour, because the platform's list of conversations lags a little."""

MIN_COMPARED: Final = 50
"""With fewer of our own events, a comparison cannot be judged."""

MAX_UNMATCHED_SHARE: Final = 20
"""The history may lack at most one of 20 of our events."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The compared interval, in microseconds since the epoch; the end is excluded."""

    from_us: int
    to_us: int

    def contain(self, at_us: int) -> bool:
        """Return whether an event of that time is compared."""
        return self.from_us <= at_us < self.to_us


def is_mismatch(ours: int, unmatched: int) -> bool:
    """Return whether the comparison itself is wrong: the history lacks too many events that we received.

    Many events that we lack do not show an error, because an outage looks the same.
    """
    return ours >= MIN_COMPARED and unmatched * MAX_UNMATCHED_SHARE > ours


def is_due(watermarks: Watermarks, now_us: int, interval_us: int) -> bool:
    """Return whether the timer's next comparison is due to begin."""
    is_idle = not (watermarks.is_under_way or watermarks.is_blocked)
    return is_idle and (watermarks.started_us is None or now_us - watermarks.started_us >= interval_us)


def compare_from(watermarks: Watermarks, now_us: int, horizon_us: int) -> int:
    """Return where the timer begins to compare: at its first comparison ever, or at the horizon.

    Earlier events may never have been sent to this service.
    """
    first = now_us if watermarks.first_from_us is None else watermarks.first_from_us
    return max(first, now_us - horizon_us)


def compare_to(now_us: int, *, waiting: int, arrivals: Arrivals) -> int:
    """Return the time before which events have had time to arrive and to be processed.

    If messages are waiting in the events queue, they arrived after the newest processed event. If one of the
    recent arrivals was late, an edge is publishing what an outage left in its journal, oldest first.
    """
    limits = (now_us, arrivals.newest_us if waiting else None, arrivals.late_us)
    return min(limit for limit in limits if limit is not None) - MARGIN_US


def safe_cutoff(engine: Engine, exchange: EventsExchange, now_us: int) -> int:
    """Return the time before which events can be compared, in epoch microseconds; blocks for seconds."""
    horizon_us = HORIZON_DAYS * DAY_US
    arrivals = transact(engine, read_arrivals, now_us, MARGIN_US, horizon_us)
    return compare_to(now_us, waiting=exchange.count_waiting(), arrivals=arrivals)
