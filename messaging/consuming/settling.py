"""Settle deliveries: acknowledge durable ones together, and retry others after a delay."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Final

from messaging.consuming.delivery import Delivery

ACKNOWLEDGE_SECONDS: Final = 0.05
"""How long a settled delivery waits for others. If the worker is killed meanwhile, the broker delivers it
again and its key identifies it as processed."""


class Acknowledger:
    """Acknowledges durable deliveries together.

    Each acknowledgement costs the broker an entry in its log, and a flush. Under load, a batch is
    acknowledged as soon as it is durable. If events arrive one by one, an acknowledgement for each would make
    the next event wait for that flush, in the broker and in a database on the same disk.

    *enough* deliveries are acknowledged at once. No acknowledgement may cover *open_tags*, which wait for a
    retry. *acknowledge* is called with a tag and whether it covers all lower tags.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        enough: int,
        open_tags: Collection[int],
        acknowledge: Callable[[int, bool], None],
    ) -> None:
        self._loop = loop
        self._enough = enough
        self._open_tags = open_tags
        self._acknowledge = acknowledge
        self._tags: list[int] = []
        self._timer: asyncio.TimerHandle | None = None

    def add(self, tags: Sequence[int]) -> None:
        """Acknowledge these soon; every lower tag of the channel is settled, open or added before."""
        self._tags += tags
        if len(self._tags) >= self._enough:
            self.flush()
        elif self._tags and self._timer is None:
            self._timer = self._loop.call_later(ACKNOWLEDGE_SECONDS, self.flush)

    def flush(self) -> None:
        """Acknowledge now everything that was added."""
        tags = sorted(self._tags)
        self.forget()
        for tag, multiple in plan_acknowledgements(tags, self._open_tags):
            self._acknowledge(tag, multiple)

    def forget(self) -> None:
        """Drop the tags: their channel is lost."""
        self._tags = []
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def plan_acknowledgements(tags: Sequence[int], open_tags: Collection[int]) -> list[tuple[int, bool]]:
    """Choose how to acknowledge deliveries without covering one that waits for a retry.

    Args:
        tags: To acknowledge, rising. Every lower tag of the channel is settled, or in the next call.
        open_tags: Tags that wait for a retry; none of them is in *tags*.

    Returns:
        Tags, each with whether the acknowledgement covers all lower tags.
    """
    lowest_open = min(open_tags, default=None)
    covered = [tag for tag in tags if lowest_open is None or tag < lowest_open]
    multiple = [(covered[-1], True)] if covered else []
    return multiple + [(tag, False) for tag in tags[len(covered) :]]


class DelayedRetries:
    """Keeps failed deliveries until their delay is over, then has each processed again, alone.

    They stay unacknowledged, so that nothing is lost with this process. Later deliveries are processed and
    acknowledged around them.

    Args:
        loop: Every method is called on it.
        limit: How many may wait, since each occupies a place of the prefetch. A further one is processed a
            last time at once: those that wait keep their delays, and good events keep their places.
        retry: Called with a delivery, its attempt counted, when it is due.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, limit: int, retry: Callable[[Delivery], None]
    ) -> None:
        self._loop = loop
        self._limit = limit
        self._retry = retry
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self.open_tags: set[int] = set()
        """Deliveries that wait or are being processed again."""

    def add(self, batch: Sequence[Delivery], delays: Mapping[int, float]) -> None:
        """Keep the deliveries of *batch* that have a delay, in seconds by tag."""
        for delivery in batch:
            if delivery.tag not in delays:
                continue
            self.open_tags.add(delivery.tag)
            again = replace(delivery, local_attempts=delivery.local_attempts + 1)
            if len(self._timers) >= self._limit:
                self._retry(replace(again, is_last_attempt=True))
            else:
                self._timers[again.tag] = self._loop.call_later(delays[again.tag], self._on_due, again)

    def forget(self, tags: Collection[int]) -> None:
        """Take settled deliveries off the list."""
        self.open_tags.difference_update(tags)

    def stop(self) -> None:
        """Retry nothing more; the broker delivers again what waits."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _on_due(self, delivery: Delivery) -> None:
        del self._timers[delivery.tag]
        self._retry(delivery)
