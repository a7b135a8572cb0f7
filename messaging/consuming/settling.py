"""Settle deliveries: acknowledge processed deliveries together, and retry failed deliveries after a delay."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from messaging.consuming.delivery import Delivery

ACKNOWLEDGE_SECONDS: Final = 0.05
"""How long an acknowledgement waits for further deliveries. If the worker is killed during that wait, the
broker redelivers the event, and the event's key shows that it was already processed."""


@dataclass(eq=False, slots=True)
class Acknowledger:
    """Acknowledges deliveries together after their effects are durable.

    Every acknowledgement costs the broker a log entry and a flush. Under load, a batch is acknowledged as
    soon as it is durable. If events arrive one by one, their tags are collected: otherwise, the flush would
    delay the next event, both in the broker and in a database on the same disk.

    As soon as *enough* deliveries have been collected, they are acknowledged. No acknowledgement may cover
    *open_tags*, which await a retry. *acknowledge* receives a tag, and whether to include all lower tags.
    """

    loop: asyncio.AbstractEventLoop
    enough: int
    open_tags: Collection[int]
    acknowledge: Callable[[int, bool], None]
    _tags: list[int] = field(default_factory=list)
    _timer: asyncio.TimerHandle | None = None

    def add(self, tags: Sequence[int]) -> None:
        """Acknowledge tags soon. All lower tags of the channel must be settled, open or already added."""
        self._tags += tags
        if len(self._tags) >= self.enough:
            self.flush()
        elif self._tags and self._timer is None:
            self._timer = self.loop.call_later(ACKNOWLEDGE_SECONDS, self.flush)

    def flush(self) -> None:
        """Acknowledge all added tags now."""
        tags = sorted(self._tags)
        self.forget()
        for tag, multiple in plan_acknowledgements(tags, self.open_tags):
            self.acknowledge(tag, multiple)

    def forget(self) -> None:
        """Drop all added tags, because their channel is lost."""
        self._tags = []
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def plan_acknowledgements(tags: Sequence[int], open_tags: Collection[int]) -> list[tuple[int, bool]]:
    """Plan the acknowledgements of *tags*, so that they cover no delivery that waits for a retry.

    *tags* are ascending. *open_tags* wait for a retry and are not in *tags*; all other lower tags are
    settled. Return the tags to acknowledge, each with a flag: True if this also acknowledges all lower tags.
    """
    lowest_open = min(open_tags, default=None)
    covered = [tag for tag in tags if lowest_open is None or tag < lowest_open]
    multiple = [(covered[-1], True)] if covered else []
    return multiple + [(tag, False) for tag in tags[len(covered) :]]


@dataclass(eq=False, slots=True)
class DelayedRetries:
    """Keeps each failed delivery until its delay is over, and then has it processed again, alone.

    The deliveries stay unacknowledged, so none is lost if this process ends. In the meantime, later
    deliveries are processed and acknowledged. At most *limit* deliveries wait, because each counts towards
    the prefetch. If one more fails, it is processed again at once, for the last time. So waiting deliveries
    keep their delays, and other events can still arrive. *retry* is called with each due delivery.

    `open_tags` contains the tags of the deliveries that are waiting or being processed again.
    """

    loop: asyncio.AbstractEventLoop
    limit: int
    retry: Callable[[Delivery], None]
    open_tags: set[int] = field(default_factory=set)
    _timers: dict[int, asyncio.TimerHandle] = field(default_factory=dict)

    def add(self, batch: Sequence[Delivery], delays: Mapping[int, float]) -> None:
        """Keep the deliveries of *batch* whose tags are in *delays* (in seconds); all others are settled."""
        for delivery in batch:
            if delivery.tag not in delays:
                self.open_tags.discard(delivery.tag)
                continue
            self.open_tags.add(delivery.tag)
            again = replace(delivery, local_attempts=delivery.local_attempts + 1)
            if len(self._timers) >= self.limit:
                self.retry(replace(again, is_last_attempt=True))
            else:
                self._timers[again.tag] = self.loop.call_later(delays[again.tag], self._on_due, again)

    def stop(self) -> None:
        """Cancel all retries; the broker will redeliver the deliveries that are waiting."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _on_due(self, delivery: Delivery) -> None:
        del self._timers[delivery.tag]
        self.retry(delivery)
