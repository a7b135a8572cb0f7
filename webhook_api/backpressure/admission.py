"""Decide whether the edge accepts more, and when a refused sender should retry.

These functions are pure: the poller and the probes supply the samples, and the load shedder acts.
"""

import random
from dataclasses import dataclass, replace
from typing import Final

UNKNOWN_AFTER_SECONDS: Final = 15.0
"""Samples older than this are ignored: about three of RabbitMQ's statistics intervals (5 s)."""

MEASURE_SECONDS: Final = 2.0
"""The shortest time over which a drain rate is measured: workers acknowledge in batches."""

SMOOTHING: Final = 0.5
"""Weight of the newest drain rate against all earlier ones."""

TOTALS_SECONDS: Final = 5.0
"""How often a quorum queue's totals change. Totals unchanged for a shorter time do not show a standstill."""

JITTER: Final = 1.5
"""A Retry-After is stretched by up to this factor, so that refused senders do not return together."""


@dataclass(frozen=True, slots=True)
class Watermarks:
    """Start to refuse at *high*, stop at *low*: queue depths in deliveries."""

    high: int
    low: int


@dataclass(frozen=True, slots=True)
class DepthSample:
    """The events queue at one moment, in monotonic seconds: deliveries, ready or held by workers.

    `unacknowledged`: those that workers hold. `is_trusted`: False during a broker alarm, when publishes do
    not arrive while consumers drain on, so that the depth falls for the wrong reason.
    """

    at: float
    depth: int
    unacknowledged: int = 0
    is_trusted: bool = True


@dataclass(frozen=True, slots=True)
class _Baseline:
    """The start of the present measurement of the drain rate; `published`: by this host since."""

    at: float
    depth: int
    published: int = 0


@dataclass(frozen=True, slots=True)
class Pressure:
    """The present state.

    `depth`: the last trusted one; None when unknown. `drain_rate`: deliveries a second that the workers
    acknowledge; 0 if not known yet. `sampled_at`: monotonic seconds of the sample behind it. `lowest`: the
    lowest depth since shedding began.
    """

    is_shedding: bool = False
    depth: int | None = None
    drain_rate: float = 0.0
    sampled_at: float = 0.0
    lowest: int = 0
    baseline: _Baseline | None = None


def update(pressure: Pressure, sample: DepthSample, published: int, marks: Watermarks) -> Pressure:
    """Return the state after a new sample; *published*: this host's events since the previous one."""
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
    """Keep the last state for a while without a trusted sample; after that the depth is unknown.

    An unknown depth does not mean an empty queue: the journal's own limit takes over.
    """
    if now - pressure.sampled_at <= UNKNOWN_AFTER_SECONDS:
        return pressure
    return Pressure(drain_rate=pressure.drain_rate, sampled_at=pressure.sampled_at)


def is_over(was_shedding: bool, depth: int, marks: Watermarks) -> bool:  # noqa: FBT001  # the state before
    """Apply the two watermarks with hysteresis."""
    return depth > marks.low if was_shedding else depth >= marks.high


def is_reopened_by_peer(depth: int, lowest: int, marks: Watermarks) -> bool:
    """Return whether another process has seen the low watermark while this process has missed it.

    The events that the other process accepts deepen the queue again before this process's next sample. So the
    depth grows while this process accepts nothing. Near the high watermark, growth only means that other
    processes have not begun to refuse.
    """
    # A tenth: workers move fewer deliveries from ready to unacknowledged between two samples.
    has_grown = depth - lowest >= max(1, (marks.high - marks.low) // 10)
    return has_grown and depth < (marks.low + marks.high) / 2


def backlog_allowance(
    pressure: Pressure, depth: int, in_flight: int, marks: Watermarks, processes: int
) -> int:
    """Return how many events this process may publish from its journal until the next sample.

    The processes of the host fill the queue only up to the low watermark, because a deeper backlog would
    cause live requests to be refused. While live requests are refused, no backlog is published, so that they
    wait for the workers alone. The space in the queue is divided into one share for this process and two for
    each other process, which may have published a share that the broker has not counted yet. A share is at
    least one event; otherwise a low watermark below the number of processes would stop the backlog for ever.

    *depth* is the broker's latest count, which may not yet include *in_flight* events of this process.
    """
    missing = max(marks.low, 1) - depth - in_flight
    if pressure.is_shedding or missing <= 0:
        return 0
    return max(1, missing // (2 * processes - 1))


def retry_after(pressure: Pressure, marks: Watermarks, maximum: int) -> int:
    """Return the jittered whole seconds until the low watermark is reached; *maximum* if nothing drains."""
    if pressure.depth is None or pressure.drain_rate <= 0:
        return maximum
    seconds = (pressure.depth - marks.low) / pressure.drain_rate
    stretched = seconds * random.uniform(1.0, JITTER)  # noqa: S311  # spreads senders, guards nothing
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
        # Workers that wait for events could acknowledge more, so the measured rate is only a lower bound.
        drain_rate = max(pressure.drain_rate, newest)
    else:
        drain_rate = SMOOTHING * newest + (1 - SMOOTHING) * pressure.drain_rate
    return drain_rate, _Baseline(sample.at, sample.depth)
