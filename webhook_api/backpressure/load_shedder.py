"""Track the load of the events queue, so that requests can be refused without querying the broker.

All methods run on the loop; the depth poller's thread passes its samples to the loop.
"""

from dataclasses import replace
from typing import Final

from messaging.clock import Clock
from messaging.log import logger
from webhook_api.backpressure import admission
from webhook_api.backpressure.admission import DepthSample, Pressure, Watermarks

PROBE_FRESH_SECONDS: Final = 3.0
"""A probe's count that is older than this (six probe intervals) is no better than the management API's."""


class LoadShedder:
    """Decides whether requests are admitted. While `is_shedding` is true, the edge answers with 429."""

    def __init__(self, marks: Watermarks, *, retry_after_max: int, processes: int, clock: Clock) -> None:
        self._marks = marks
        self._retry_after_max = retry_after_max
        self._processes = processes
        self._clock = clock
        self._pressure = Pressure()
        self.is_shedding = False
        self._ready = DepthSample(at=float("-inf"), depth=0)
        self._unacknowledged = self._refused = 0
        self._is_blocked = self._is_trusted = False
        # The number of events that this process has published: now, at the last sample, at the last probe.
        self._published = self._published_at_sample = self._published_at_probe = 0

    def on_sample(self, sample: DepthSample) -> None:
        """Update the load from a sample of the management API and, if there is one, a recent probe's count.

        The API's totals of a quorum queue are up to five seconds old, and can wrongly be 0.
        """
        if self._is_blocked:
            sample = replace(sample, is_trusted=False)
        self._is_trusted = sample.is_trusted
        if sample.is_trusted:
            self._unacknowledged = sample.unacknowledged
            if sample.at - self._ready.at <= PROBE_FRESH_SECONDS:
                sample = replace(sample, depth=self._ready.depth + sample.unacknowledged)
        self._update(sample)

    def on_probe_sent(self) -> None:
        """Called when a probe is sent. Its answer includes all events that this process published earlier."""
        self._published_at_probe = self._published

    def on_probe_answered(self, ready_count: int) -> int:
        """Update the load from a probe's count of ready deliveries, if the API's last sample was trusted.

        Return how many backlog events this process may publish until the next probe is answered.
        """
        self._ready = DepthSample(at=self._clock.monotonic(), depth=ready_count)
        depth = ready_count + self._unacknowledged
        sampled_at = self._pressure.sampled_at
        if self._pressure.depth is not None and self._is_trusted and not self._is_blocked:
            self._update(replace(self._ready, depth=depth))
            self._pressure = replace(self._pressure, sampled_at=sampled_at)
        in_flight = self._published - self._published_at_probe
        return admission.allow_backlog(self._pressure, depth, in_flight, self._marks, self._processes)

    def on_blocked(self, *, is_blocked: bool) -> None:
        """Set whether a broker alarm or a missing majority makes samples untrustworthy."""
        self._is_blocked = is_blocked

    def tick(self) -> None:
        """Forget the depth if its sample is too old; call this about once a second."""
        self._change(admission.mark_stale(self._pressure, self._clock.monotonic()))

    def count_published(self, events: int = 1) -> None:
        """Count published events, and start shedding if they fill the queue up to the high watermark.

        Events that wait in the journal are not counted, because they are not in the queue.
        """
        self._published += events
        pressure = self._pressure
        if pressure.depth is not None and not pressure.is_shedding:
            depth = pressure.depth + self._published - self._published_at_sample
            if admission.is_over(False, depth, self._marks):
                self._change(replace(pressure, is_shedding=True, depth=depth, lowest=depth))

    def retry_after(self) -> int:
        """Count a refused request, and return its Retry-After in whole seconds, with jitter."""
        self._refused += 1
        return admission.retry_after(self._pressure, self._marks, self._retry_after_max)

    def status(self) -> dict[str, object]:
        """Return the load for health reports: depth in deliveries, drain rate per second, age in seconds."""
        pressure = self._pressure
        age = self._clock.monotonic() - pressure.sampled_at if pressure.depth is not None else None
        return {
            "shedding": pressure.is_shedding,
            "queue_depth": pressure.depth,
            "high": self._marks.high,
            "low": self._marks.low,
            "drain_rate_per_s": round(pressure.drain_rate, 1),
            "sample_age_s": round(age, 1) if age is not None else None,
            "refused": self._refused,
        }

    def _update(self, sample: DepthSample) -> None:
        # Connections are spread over the host's processes, so assume that all processes publish equally. If
        # others publish less, the computed rate is too high, so senders retry too early rather than too late.
        published = (self._published - self._published_at_sample) * self._processes
        if sample.is_trusted:
            self._published_at_sample = self._published
        self._change(admission.update(self._pressure, sample, published, self._marks))

    def _change(self, pressure: Pressure) -> None:
        before, self._pressure = self._pressure, pressure
        self.is_shedding = pressure.is_shedding
        if pressure.is_shedding and not before.is_shedding:
            logger().warning("shedding_started", queue_depth=pressure.depth, high=self._marks.high)
        if before.is_shedding and not pressure.is_shedding:
            logger().info("shedding_ended", queue_depth=pressure.depth, low=self._marks.low)
