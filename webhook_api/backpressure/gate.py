"""Hold this process's view of the pressure behind it, for the request path to read.

Everything here runs on the loop; the poller's thread posts its samples to it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from messaging.log import logger
from webhook_api.backpressure.admission import (
    DepthSample,
    Pressure,
    Watermarks,
    expire,
    is_opened_by_others,
    is_over,
    judge,
    retry_after,
    room_for_backlog,
)
from webhook_api.host_table import Column

if TYPE_CHECKING:
    from messaging.clock import Clock
    from webhook_api.host_table import HostTable

PROBE_FRESH_SECONDS: Final = 3.0
"""Six probes' time: a broker that has not answered for so long is not in step with the queue any more."""


class Gate:
    """Whether a request may come in.

    Args:
        marks: The two watermarks.
        table: Tells each process of the host what the others publish.
        retry_after_max: Upper bound of a Retry-After, in seconds.
        processes: Edge processes of this host.
        clock: Where time comes from.

    `is_shedding`: whether to answer 429.
    """

    def __init__(
        self, marks: Watermarks, table: HostTable, *, retry_after_max: int, processes: int, clock: Clock
    ) -> None:
        self._marks = marks
        self._table = table
        self._retry_after_max = retry_after_max
        self._processes = processes
        self._clock = clock
        self._pressure = Pressure()
        self.is_shedding = False
        self._ready = DepthSample(at=float("-inf"), depth=0)
        self._unacknowledged = 0
        self._refused = 0
        self._is_blocked = False
        self._is_trusted = False
        # Counts of published events: this process's own, the other processes' as last read, and what both
        # were together, or the own alone, at an earlier moment.
        self._published = 0
        self._others = 0
        self._published_at_judgement = 0
        self._published_at_question = 0

    def on_sample(self, sample: DepthSample) -> None:
        """Take in what the management API said; its count of ready deliveries gives way to a fresh probe's.

        A quorum queue's totals are up to five seconds old, and an API that wrongly says 0 is not believed.
        """
        if self._is_blocked:
            sample = replace(sample, is_trusted=False)
        self._is_trusted = sample.is_trusted
        if sample.is_trusted:
            self._unacknowledged = sample.unacknowledged
            if sample.at - self._ready.at <= PROBE_FRESH_SECONDS:
                sample = replace(sample, depth=self._ready.depth + sample.unacknowledged)
        self._judge(sample)

    def on_question(self) -> None:
        """Take note that a probe is being sent: its answer counts what this process published until now."""
        self._published_at_question = self._published

    def on_ready_count(self, count: int, *, has_backlog: bool) -> int:
        """Take in the ready deliveries that came with a probe's answer.

        It refines what the management API tells, and takes no place of it: alarms are known by that alone.

        Returns:
            How many events of a backlog this process may add until the next answer.
        """
        self._ready = DepthSample(at=self._clock.monotonic(), depth=count)
        depth = count + self._unacknowledged
        known_at = self._pressure.sampled_at
        if self._pressure.depth is not None and self._is_trusted and not self._is_blocked:
            self._judge(replace(self._ready, depth=depth))
            self._pressure = replace(self._pressure, sampled_at=known_at)
        under_way = self._published - self._published_at_question
        room = 0
        if has_backlog:
            others = self._table.others(Column.MAY_PUBLISH)
            room = room_for_backlog(self._pressure, depth, under_way + others, self._marks, self._processes)
        self._table.write(Column.MAY_PUBLISH, under_way + room)
        return room

    def on_blocked(self, *, is_blocked: bool) -> None:
        """Take in whether depth means nothing for now: a broker alarm, or no majority."""
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
            depth = pressure.depth + self._published + self._others - self._published_at_judgement
            if is_over(False, depth, self._marks):
                self._change(replace(pressure, is_shedding=True, depth=depth))

    def _judge(self, sample: DepthSample) -> None:
        self._table.write(Column.PUBLISHED, self._published)
        others, self._others = self._others, self._table.others(Column.PUBLISHED)
        published = self._published + self._others
        since = max(0, published - self._published_at_judgement)
        if sample.is_trusted:
            self._published_at_judgement = published
        pressure = self._pressure
        if sample.is_trusted and is_opened_by_others(sample.depth, self._others - others, self._marks):
            pressure = replace(pressure, is_shedding=False)
        self._change(judge(pressure, sample, since, self._marks))

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
            "high": self._marks.high,
            "low": self._marks.low,
            "drain_rate_per_s": round(pressure.drain_rate, 1),
            "sample_age_s": round(age, 1) if age is not None else None,
            "refused": self._refused,
        }

    def _change(self, pressure: Pressure) -> None:
        before, self._pressure = self._pressure, pressure
        self.is_shedding = pressure.is_shedding
        if pressure.is_shedding and not before.is_shedding:
            logger().warning("shedding_started", queue_depth=pressure.depth, high=self._marks.high)
        if before.is_shedding and not pressure.is_shedding:
            logger().info("shedding_ended", queue_depth=pressure.depth, low=self._marks.low)
