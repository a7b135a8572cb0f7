"""Hold this process's view of the pressure behind it, for the request path to read.

Everything here runs on the loop; the poller's thread posts its samples to it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from messaging.log import logger
from webhook_api.pressure.admission import (
    DepthSample,
    Pressure,
    Watermarks,
    expire,
    is_over,
    judge,
    retry_after,
)

if TYPE_CHECKING:
    from messaging.clock import Clock

PROBE_FRESH_SECONDS: Final = 3.0


class Gate:
    """Whether a request may come in.

    Args:
        marks: The two watermarks.
        retry_after_max: Upper bound of a Retry-After, in seconds.
        processes: Edge processes of this host; each counts its own publishes only.
        clock: Where time comes from.
    """

    def __init__(self, marks: Watermarks, *, retry_after_max: int, processes: int, clock: Clock) -> None:
        self._marks = marks
        self._retry_after_max = retry_after_max
        self._processes = processes
        self._clock = clock
        self._pressure = Pressure()
        self._probed = DepthSample(at=float("-inf"), depth=0)
        self._published = 0
        self._refused = 0
        self._is_blocked = False

    def on_sample(self, sample: DepthSample) -> None:
        """Take in what the management API said; believe the broker's own answer where it is larger."""
        if sample.at - self._probed.at <= PROBE_FRESH_SECONDS:
            sample = replace(sample, depth=max(sample.depth, self._probed.depth))
        if self._is_blocked:
            sample = replace(sample, is_trusted=False)
        published, self._published = self._published * self._processes, 0
        self._change(judge(self._pressure, sample, published, self._marks))

    def on_ready_count(self, count: int) -> int:
        """Take in the ready deliveries that came with a probe's answer.

        Returns:
            How many events of a backlog this process may add. All processes together fill the queue up to
            the low watermark, and above it a tenth of what is missing to the high one: a backlog by itself
            makes no edge refuse anything, and live events that keep the queue deep never starve it.
        """
        self._probed = DepthSample(at=self._clock.monotonic(), depth=count)
        room = max(self._marks.low - count, (self._marks.high - count) // 10, 0)
        return room // self._processes

    def on_blocked(self, *, is_blocked: bool) -> None:
        """Hear of a broker alarm: depth means nothing while it lasts."""
        self._is_blocked = is_blocked

    def tick(self) -> None:
        """Let an old judgement expire; call about once a second."""
        self._change(expire(self._pressure, self._clock.monotonic()))

    def count_published(self, events: int = 1) -> None:
        """Count what was published, live or out of the journal; shed at once where that alone is too much.

        What waits in the journal is not counted: it is not in the queue, and room for it is the journal's.
        """
        self._published += events
        pressure = self._pressure
        if pressure.depth is not None and not pressure.is_shedding:
            depth = pressure.depth + self._published * self._processes
            if is_over(False, depth, self._marks):
                self._change(replace(pressure, is_shedding=True, depth=depth))

    @property
    def is_shedding(self) -> bool:
        """Whether to answer 429."""
        return self._pressure.is_shedding

    def retry_after(self) -> int:
        """Return whole seconds for one refused request, jittered."""
        self._refused += 1
        return retry_after(self._pressure, self._marks, self._retry_after_max)

    def status(self) -> dict[str, object]:
        """Return the judgement for health reports: depth in deliveries, rate per second, age in seconds."""
        pressure = self._pressure
        age = self._clock.monotonic() - pressure.sampled_at if pressure.depth is not None else None
        return {
            "shedding": pressure.is_shedding,
            "queue_depth": pressure.depth,
            "drain_rate_per_s": round(pressure.drain_rate, 1),
            "sample_age_s": round(age, 1) if age is not None else None,
            "refused": self._refused,
        }

    def _change(self, pressure: Pressure) -> None:
        before, self._pressure = self._pressure, pressure
        if pressure.is_shedding and not before.is_shedding:
            logger().warning("shedding_started", queue_depth=pressure.depth, high=self._marks.high)
        if before.is_shedding and not pressure.is_shedding:
            logger().info("shedding_ended", queue_depth=pressure.depth, low=self._marks.low)
