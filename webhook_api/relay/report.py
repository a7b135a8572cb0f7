"""Tell health reports what the journal holds, and how far it is proven."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from webhook_api.journal import Journal, Segment
    from webhook_api.relay.outlet import Outlet
    from webhook_api.relay.oversized import Oversized
    from webhook_api.relay.republisher import Republisher


def report_of(
    journal: Journal,
    republisher: Republisher,
    outlet: Outlet,
    oversized: Oversized,
    *,
    is_live: bool,
    now_us: int,
) -> dict[str, object]:
    """Return the journal's state: sizes in bytes, ages in seconds.

    Args:
        journal: This process's.
        republisher: Has what waits.
        outlet: Has what is published and not proven.
        oversized: Has counted what is too large for the broker.
        is_live: Whether the active segment is published as it grows.
        now_us: The time, in microseconds.
    """
    active = [journal.active] if journal.active.size else []
    holding = [*republisher.waiting.segments, *outlet.unproven, *active]
    return {
        **journal.status(),
        "waiting_bytes": republisher.waiting.size + (0 if is_live else journal.active.size),
        "entries": sum(segment.events for segment in holding),
        "oldest_entry_s": _oldest_age(holding, now_us),
        "oldest_unproven_s": _oldest_age(outlet.unproven, now_us),
        "majority_seen_s": outlet.majority_age,
        "broker": outlet.state,
        "republished": republisher.republished,
        "unreadable_segments": republisher.waiting.unreadable,
        "damaged_segments": republisher.damaged_segments,
        "oversized": oversized.count,
    }


def _oldest_age(segments: list[Segment], now_us: int) -> float:
    """Return the age of the oldest, in seconds; 0 of none."""
    oldest_us = min((segment.opened_at_us for segment in segments), default=now_us)
    return round(max(0.0, (now_us - oldest_us) / 1_000_000), 3)
