"""Decide whether the service takes more, and when a refused sender should come again.

Values in, values out: the poller (queue_depth.py) brings the samples, the edge asks.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Final

UNKNOWN_AFTER_SECONDS: Final = 15.0
"""An older sample says nothing any more: about three of RabbitMQ's statistics intervals (5 s)."""

MEASURE_SECONDS: Final = 2.0
"""A drain rate is measured over so long at least: what workers take comes in batches."""

SMOOTHING: Final = 0.5
"""Weight of the newest drain rate beside all earlier ones."""

TOTALS_SECONDS: Final = 5.0
"""A quorum queue's totals move only so often: an unchanged depth says nothing of the rate before."""

JITTER: Final = 1.5
"""A Retry-After is stretched by up to this factor, so that refused senders do not return together."""


@dataclass(frozen=True, slots=True)
class Watermarks:
    """Start to refuse at *high*, stop at *low*: queue depths in deliveries."""

    high: int
    low: int


@dataclass(frozen=True, slots=True)
class DepthSample:
    """What was known of the events queue at one moment.

    Args:
        at: Monotonic seconds.
        depth: Deliveries ready and unacknowledged.
        unacknowledged: Those among them that workers hold.
        is_trusted: False during a broker alarm: publishes do not arrive while consumers drain on, so the
            depth falls for the wrong reason.
    """

    at: float
    depth: int
    unacknowledged: int = 0
    is_trusted: bool = True


@dataclass(frozen=True, slots=True)
class Measured:
    """Where the drain rate was last measured.

    Args:
        at: Monotonic seconds.
        depth: The depth then.
        published: Events published by this host since.
    """

    at: float
    depth: int
    published: int = 0


@dataclass(frozen=True, slots=True)
class Pressure:
    """The present judgement.

    Args:
        is_shedding: Whether to answer 429.
        depth: The depth last believed; None when unknown.
        drain_rate: Deliveries a second that the workers take away; 0 when not known yet.
        sampled_at: Monotonic seconds of the sample behind it.
        measured: What the next drain rate is measured from.
    """

    is_shedding: bool = False
    depth: int | None = None
    drain_rate: float = 0.0
    sampled_at: float = 0.0
    measured: Measured | None = None


def judge(pressure: Pressure, sample: DepthSample, published: int, marks: Watermarks) -> Pressure:
    """Take in a new sample.

    Args:
        pressure: The judgement so far.
        sample: The newest sample.
        published: Events published by this host since the sample before, live or out of the journal.
        marks: The two watermarks.
    """
    if not sample.is_trusted:
        return expire(pressure, sample.at)
    drain_rate, measured = _measure(pressure, sample, published)
    return Pressure(
        is_shedding=is_over(pressure.is_shedding, sample.depth, marks),
        depth=sample.depth,
        drain_rate=drain_rate,
        sampled_at=sample.at,
        measured=measured,
    )


def expire(pressure: Pressure, now: float) -> Pressure:
    """Keep the last judgement for a while without a trusted sample, then know nothing.

    Knowing nothing is not "empty": the journal's own limit takes over.
    """
    if now - pressure.sampled_at <= UNKNOWN_AFTER_SECONDS:
        return pressure
    return Pressure(drain_rate=pressure.drain_rate, sampled_at=pressure.sampled_at)


def is_over(was_shedding: bool, depth: int, marks: Watermarks) -> bool:  # noqa: FBT001  # the state before
    """Apply the two watermarks with hysteresis."""
    return depth > marks.low if was_shedding else depth >= marks.high


def is_opened_by_others(depth: int, published_by_others: int, marks: Watermarks) -> bool:
    """Tell whether another process of the host has seen the low watermark, and this one has missed it.

    What the other lets in may lift the queue above the mark again before the next look, and this one would
    refuse its senders until the mark is reached once more. Nearer to the high mark the others may only not
    have begun to refuse.

    Args:
        depth: Deliveries, as now counted.
        published_by_others: Events since the look before.
        marks: The two watermarks.
    """
    return published_by_others > 0 and depth < (marks.low + marks.high) / 2


def room_for_backlog(
    pressure: Pressure, depth: int, under_way: int, marks: Watermarks, processes: int
) -> int:
    """Return how many events may leave this process's journal for the queue.

    The processes of the host fill it up to the low watermark and no further, each by its share of what is
    missing: above it a backlog would have live requests refused. While they are refused it gets nothing, so
    that they wait for the workers alone. Where anything is missing, as in an empty queue always, a share is
    one event at least: at a watermark below the number of processes a backlog would never leave.

    Args:
        pressure: The present judgement.
        depth: Deliveries that the broker has just counted, held by workers or not.
        under_way: Events that the broker may not have counted yet, or that others may still publish.
        marks: The two watermarks.
        processes: Edge processes of this host.
    """
    missing = max(marks.low, 1) - depth - under_way
    if pressure.is_shedding or missing <= 0:
        return 0
    return max(1, missing // processes)


def retry_after(pressure: Pressure, marks: Watermarks, maximum: int) -> int:
    """Return the whole seconds until the queue will be down at the low watermark.

    Args:
        pressure: The present judgement.
        marks: The two watermarks.
        maximum: Upper bound in seconds; also the answer where nothing drains.
    """
    if pressure.depth is None or pressure.drain_rate <= 0:
        return maximum
    seconds = (pressure.depth - marks.low) / pressure.drain_rate
    stretched = seconds * random.uniform(1.0, JITTER)  # noqa: S311  # spreads senders, guards nothing
    return max(1, min(maximum, round(stretched)))


def _measure(pressure: Pressure, sample: DepthSample, published: int) -> tuple[float, Measured]:
    """Return the drain rate after a sample, and what the next one is measured from."""
    since = pressure.measured
    if since is None:
        return pressure.drain_rate, Measured(sample.at, sample.depth)
    published += since.published
    elapsed = sample.at - since.at
    if elapsed < (TOTALS_SECONDS if sample.depth == since.depth else MEASURE_SECONDS):
        return pressure.drain_rate, replace(since, published=published)
    newest = max(0.0, (since.depth + published - sample.depth) / elapsed)
    return _smoothed(pressure.drain_rate, newest, was_empty=since.depth == 0), Measured(
        sample.at, sample.depth
    )


def _smoothed(before: float, newest: float, *, was_empty: bool) -> float:
    if was_empty or before == 0:
        # Workers that wait for events would take more: what they took is only a lower bound.
        return max(before, newest)
    return SMOOTHING * newest + (1 - SMOOTHING) * before
