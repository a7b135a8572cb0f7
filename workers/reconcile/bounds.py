"""Decide what a comparison looks at: neither what may still be on its way nor what is long forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from workers.db.reconcile import Arrivals, Watermarks

HORIZON_DAYS: Final = 7
"""An older message is not compared: what was deleted after OM_RETENTION_DAYS would look missing."""

DAY_US: Final = 86_400_000_000

OVERLAP_US: Final = 3_600_000_000
"""The platform's list of conversations is nearly up to date, not quite: each one looks an hour back."""

MIN_COMPARED: Final = 50
"""Fewer events of ours prove nothing about the comparison."""

MAX_UNMATCHED_SHARE: Final = 20
"""At most one of 20 of our events may be missing from the history, as the design demands."""


def is_mismatch(ours: int, unmatched: int) -> bool:
    """Return whether the comparison itself is wrong: the history lacks too many events that we received.

    Many events that we lack are no sign of it: an outage looks the same.
    """
    return ours >= MIN_COMPARED and unmatched * MAX_UNMATCHED_SHARE > ours


def is_due(watermarks: Watermarks, now_us: int, interval_us: int) -> bool:
    """Return whether the timer's next comparison begins."""
    if watermarks.is_under_way or watermarks.is_blocked:
        return False
    return watermarks.started_us is None or now_us - watermarks.started_us >= interval_us


def compared_from(watermarks: Watermarks, now_us: int, horizon_us: int) -> int:
    """Return from when on the timer compares: its first comparison ever, or the horizon.

    Nothing before the first is looked at, since it may never have been sent to this service.
    """
    first = now_us if watermarks.first_from_us is None else watermarks.first_from_us
    return max(first, now_us - horizon_us)


def compared_to(now_us: int, margin_us: int, *, waiting: int, arrivals: Arrivals) -> int:
    """Return up to when events have had the time to come and to be processed.

    Args:
        now_us: The present.
        margin_us: What the platform, its retries and its history take.
        waiting: Deliveries in the events queue. While there are some, events that came in after the newest
            processed one wait there.
        arrivals: When the latest processed events came in. A late one shows that an edge's journal is giving
            out what an outage left in it, the oldest first.
    """
    bounds = [now_us]
    if waiting and arrivals.newest_us is not None:
        bounds.append(arrivals.newest_us)
    if arrivals.late_us is not None:
        bounds.append(arrivals.late_us)
    return min(bounds) - margin_us


def listed_from(watermarks: Watermarks) -> int | None:
    """Return from which start on conversations are listed; None for all of the interval's days.

    Those that started earlier were listed by an earlier comparison.
    """
    return None if watermarks.compared_to_us is None else watermarks.compared_to_us - OVERLAP_US
