"""Decide what a comparison looks at: neither what may still be on its way nor what is long forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from workers.tables import Watermarks

HORIZON_DAYS: Final = 7
"""An older message is not compared: what was deleted after OM_RETENTION_DAYS would look missing."""

DAY_US: Final = 86_400_000_000

OVERLAP_US: Final = 3_600_000_000
"""The platform's list of conversations is nearly up to date, not quite: each one looks an hour back."""


def is_due(watermarks: Watermarks, now_us: int, interval_us: int) -> bool:
    """Tell whether the timer's next comparison begins."""
    if watermarks.is_under_way:
        return False
    return watermarks.started_us is None or now_us - watermarks.started_us >= interval_us


def compared_from(watermarks: Watermarks, now_us: int, horizon_us: int) -> int:
    """Return from when on the timer compares: its first comparison ever, or the horizon.

    Nothing before the first is looked at, since nobody may have sent it to this service.
    """
    first = now_us if watermarks.first_from_us is None else watermarks.first_from_us
    return max(first, now_us - horizon_us)


def compared_to(
    now_us: int,
    margin_us: int,
    *,
    waiting: int,
    newest_received_us: int | None,
    late_received_us: int | None,
) -> int:
    """Return up to when events have had the time to come and to be processed.

    Args:
        now_us: The present.
        margin_us: What the platform, its retries and its history take.
        waiting: Deliveries in the events queue. While there are some, what came in after the newest processed
            event waits there.
        newest_received_us: When that one came in; None where there is none.
        late_received_us: When the oldest came in of those that were processed just now, and late: an edge's
            journal gives out what an outage left in it, the oldest first. None where there are none.
    """
    bounds = [now_us]
    if waiting and newest_received_us is not None:
        bounds.append(newest_received_us)
    if late_received_us is not None:
        bounds.append(late_received_us)
    return min(bounds) - margin_us


def listed_from(watermarks: Watermarks, from_us: int) -> int:
    """Return the beginning of the interval whose conversations the platform is asked to list."""
    if watermarks.compared_to_us is None:
        return from_us
    return max(from_us, watermarks.compared_to_us - OVERLAP_US)
