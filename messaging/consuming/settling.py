"""Settle deliveries: acknowledge durable ones together, and retry others after a delay."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from messaging.consuming.delivery import Delivery

ACKNOWLEDGE_SECONDS: Final = 0.05
"""How long the acknowledgement of a delivery waits for others. If the worker is killed meanwhile, the broker
redelivers the event, and its key identifies it as processed."""


@dataclass(eq=False, slots=True)
class Acknowledger:
    """Acknowledges durable deliveries together.

    Each acknowledgement costs the broker an entry in its log, and a flush. Under load, a batch is
    acknowledged as soon as it is durable. If events arrive one by one, an acknowledgement for each would make
    the next event wait for that flush, in the broker and in a database on the same disk.

    *enough* deliveries are acknowledged at once. No acknowledgement may cover *open_tags*, which wait for a
    retry. *acknowledge* is called with a tag and whether it covers all lower tags.
    """

    loop: asyncio.AbstractEventLoop
    enough: int
    open_tags: Collection[int]
    acknowledge: Callable[[int, bool], None]
    _tags: list[int] = field(default_factory=list)
    _timer: asyncio.TimerHandle | None = None

    def add(self, tags: Sequence[int]) -> None:
        """Acknowledge these tags soon; every lower tag of the channel is settled, open or already added."""
        self._tags += tags
        if len(self._tags) >= self.enough:
            self.flush()
        elif self._tags and self._timer is None:
            self._timer = self.loop.call_later(ACKNOWLEDGE_SECONDS, self.flush)

    def flush(self) -> None:
        """Acknowledge now everything that was added."""
        tags = sorted(self._tags)
        self.forget()
        for tag, multiple in plan_acknowledgements(tags, self.open_tags):
            self.acknowledge(tag, multiple)

    def forget(self) -> None:
        """Drop the tags: their channel is lost."""
        self._tags = []
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def plan_acknowledgements(tags: Sequence[int], open_tags: Collection[int]) -> list[tuple[int, bool]]:
    """Choose how to acknowledge deliveries without covering one that waits for a retry.

    *tags* rise; every lower tag of the channel is settled, or in the next call. None of *open_tags*, which
    wait for a retry, is among them. Return tags, each with whether the acknowledgement covers all lower tags.
    """
    lowest_open = min(open_tags, default=None)
    covered = [tag for tag in tags if lowest_open is None or tag < lowest_open]
    multiple = [(covered[-1], True)] if covered else []
    return multiple + [(tag, False) for tag in tags[len(covered) :]]


@dataclass(eq=False, slots=True)
class DelayedRetries:
    """Keeps failed deliveries until their delay is over, then has each processed again, alone.

    They stay unacknowledged, so that nothing is lost with this process. Later deliveries are processed and
    acknowledged around them. At most *limit* deliveries wait, since each occupies a place in the prefetch. A
    further one is processed a last time at once, so that waiting deliveries keep their delays and good events
    keep their places. *retry* is called with a delivery, its attempt counted, when it is due.

    `open_tags`: deliveries that wait or are being processed again.
    """

    loop: asyncio.AbstractEventLoop
    limit: int
    retry: Callable[[Delivery], None]
    open_tags: set[int] = field(default_factory=set)
    _timers: dict[int, asyncio.TimerHandle] = field(default_factory=dict)

    def add(self, batch: Sequence[Delivery], delays: Mapping[int, float]) -> None:
        """Keep the deliveries of *batch* that have a delay, in seconds by tag."""
        for delivery in batch:
            if delivery.tag not in delays:
                continue
            self.open_tags.add(delivery.tag)
            again = replace(delivery, local_attempts=delivery.local_attempts + 1)
            if len(self._timers) >= self.limit:
                self.retry(replace(again, is_last_attempt=True))
            else:
                self._timers[again.tag] = self.loop.call_later(delays[again.tag], self._on_due, again)

    def forget(self, tags: Collection[int]) -> None:
        """Remove settled deliveries from `open_tags`."""
        self.open_tags.difference_update(tags)

    def stop(self) -> None:
        """Stop retrying; the broker redelivers the waiting deliveries."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _on_due(self, delivery: Delivery) -> None:
        del self._timers[delivery.tag]
        self.retry(delivery)
