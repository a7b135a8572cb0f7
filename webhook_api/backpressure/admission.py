"""Decide whether the edge accepts more events, and when a refused sender should retry.

These functions are pure: the depth poller and the probes supply samples, and the load shedder acts on them.
"""

import random
from dataclasses import dataclass, replace
from typing import Final

UNKNOWN_AFTER_SECONDS: Final = 15.0
"""Samples older than this are ignored. RabbitMQ updates its statistics three times in this period."""

MEASURE_SECONDS: Final = 2.0
"""Shortest period over which a drain rate is measured, because workers acknowledge in batches."""

SMOOTHING: Final = 0.5
"""Weight of the newest measurement in the average drain rate; earlier measurements share the rest."""

TOTALS_SECONDS: Final = 5.0
"""Interval at which RabbitMQ updates a quorum queue's totals, so equal totals within it prove nothing."""

JITTER: Final = 1.5
"""Largest factor by which a Retry-After is stretched, so that refused senders do not all return at once."""


@dataclass(frozen=True, slots=True)
class Watermarks:
    """Depths of the queue, in deliveries: the edge starts to refuse events at *high*, and stops at *low*."""

    high: int
    low: int


@dataclass(frozen=True, slots=True)
class DepthSample:
    """The depth of the events queue, including deliveries that workers hold, at the monotonic time *at*.

    `unacknowledged` counts the deliveries that workers hold. `is_trusted` is False without a majority and
    during an alarm. An alarm stops publishers but not consumers, so the falling depth would be misleading.
    """

    at: float
    depth: int
    unacknowledged: int = 0
    is_trusted: bool = True


@dataclass(frozen=True, slots=True)
class _Baseline:
    """The start of the current drain-rate measurement; `published` counts this host's events since then."""

    at: float
    depth: int
    published: int = 0


@dataclass(frozen=True, slots=True)
class Pressure:
    """The load of the events queue according to the samples so far.

    `depth` is None if unknown. `drain_rate` is in acknowledgements per second, 0 if unknown. `sampled_at` is
    the monotonic time of the last trusted sample. `lowest` is the lowest depth since shedding began.
    """

    is_shedding: bool = False
    depth: int | None = None
    drain_rate: float = 0.0
    sampled_at: float = 0.0
    lowest: int = 0
    baseline: _Baseline | None = None


def update(pressure: Pressure, sample: DepthSample, published: int, marks: Watermarks) -> Pressure:
    """Return the load after a new sample. *published* counts this host's events since the last sample."""
    if not sample.is_trusted:
        return mark_stale(pressure, sample.at)
    lowest = min(pressure.lowest, sample.depth) if pressure.is_shedding else sample.depth
    was_shedding = pressure.is_shedding and not is_reopened_by_peer(sample.depth, lowest, marks)
    drain_rate, baseline = _measure(pressure, sample, published)
    return Pressure(
        is_shedding=is_over(was_shedding, sample.depth, marks),
        depth=sample.depth,
        drain_rate=drain_rate,
        sampled_at=sample.at,
        lowest=lowest,
        baseline=baseline,
    )


def mark_stale(pressure: Pressure, now: float) -> Pressure:
    """Return the load, with an unknown depth if its sample is older than UNKNOWN_AFTER_SECONDS.

    An unknown depth does not mean an empty queue. While it is unknown, only a full journal causes refusals.
    """
    if now - pressure.sampled_at <= UNKNOWN_AFTER_SECONDS:
        return pressure
    return Pressure(drain_rate=pressure.drain_rate, sampled_at=pressure.sampled_at)


def is_over(was_shedding: bool, depth: int, marks: Watermarks) -> bool:  # noqa: FBT001  # the state before
    """Return whether to shed. Shedding starts at the high watermark, and ends at the low watermark."""
    return depth > marks.low if was_shedding else depth >= marks.high


def is_reopened_by_peer(depth: int, lowest: int, marks: Watermarks) -> bool:
    """Return whether another process saw the depth reach the low watermark while this process missed it.

    The other process then accepts events, so the depth grows before this process's next sample, although this
    process accepts none. Near the high watermark, it can also grow because other processes do not shed yet.
    """
    # A tenth is more than the number of deliveries that workers receive between two samples.
    has_grown = depth - lowest >= max(1, (marks.high - marks.low) // 10)
    return has_grown and depth < (marks.low + marks.high) / 2


def allow_backlog(pressure: Pressure, depth: int, in_flight: int, marks: Watermarks, processes: int) -> int:
    """Return how many events this process may publish from its journal until the next sample.

    The processes of the host fill the queue with backlog only up to the low watermark, because a deeper queue
    would cause live requests to be refused. While live requests are refused, no backlog is published, so that
    they wait only for the workers. The space in the queue is divided into one share for this process and two
    for each other process, which might have published one that the broker has not counted yet. A share has
    at least one event: otherwise, a low watermark below the number of processes would stop the backlog.

    *depth* is the broker's latest count, which might not yet include *in_flight* events of this process.
    """
    missing = max(marks.low, 1) - depth - in_flight
    if pressure.is_shedding or missing <= 0:
        return 0
    return max(1, missing // (2 * processes - 1))


def retry_after(pressure: Pressure, marks: Watermarks, maximum: int) -> int:
    """Return how many seconds remain until the low watermark, with jitter; *maximum* if that is unknown."""
    if pressure.depth is None or pressure.drain_rate <= 0:
        return maximum
    seconds = (pressure.depth - marks.low) / pressure.drain_rate
    stretched = seconds * random.uniform(1.0, JITTER)  # noqa: S311  # only spreads retries over time
    return max(1, min(maximum, round(stretched)))


def _measure(pressure: Pressure, sample: DepthSample, published: int) -> tuple[float, _Baseline]:
    """Return the drain rate after a sample, and the baseline of the next measurement."""
    baseline = pressure.baseline
    if baseline is None:
        return pressure.drain_rate, _Baseline(sample.at, sample.depth)
    published += baseline.published
    elapsed = sample.at - baseline.at
    if elapsed < (TOTALS_SECONDS if sample.depth == baseline.depth else MEASURE_SECONDS):
        return pressure.drain_rate, replace(baseline, published=published)
    newest = max(0.0, (baseline.depth + published - sample.depth) / elapsed)
    if baseline.depth == 0 or pressure.drain_rate == 0:
        # Workers that wait for events could acknowledge faster, so the measured rate is only a lower bound.
        drain_rate = max(pressure.drain_rate, newest)
    else:
        drain_rate = SMOOTHING * newest + (1 - SMOOTHING) * pressure.drain_rate
    return drain_rate, _Baseline(sample.at, sample.depth)
