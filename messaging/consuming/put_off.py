"""Keep deliveries whose handler failed until they are due for another try, alone.

They stay unacknowledged, so that nothing is lost with this process, and they hold nobody up: what came
after them is processed and acknowledged around them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Collection, Mapping, Sequence

    from messaging.consuming.delivery import Delivery


class PutOffDeliveries:
    """Has each delivery tried again when its pause is over.

    Args:
        loop: Every method is called on it.
        most: So many wait at most, since each takes a place of the prefetch. One more is tried a last time at
            once: the events that wait keep their pauses, and those that can be processed keep their places.
        try_again: Called with a delivery, its tries counted, when it is due.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, most: int, try_again: Callable[[Delivery], None]
    ) -> None:
        self._loop = loop
        self._most = most
        self._try_again = try_again
        self._waiting: dict[int, tuple[asyncio.TimerHandle, Delivery]] = {}
        self.open_tags: set[int] = set()
        """Put off and not settled since, whether they wait or are being tried."""

    def put_off(self, batch: Sequence[Delivery], pauses: Mapping[int, float]) -> None:
        """Keep those of *batch* that have a pause, for so many seconds."""
        for delivery in batch:
            if delivery.tag not in pauses:
                continue
            self.open_tags.add(delivery.tag)
            if len(self._waiting) >= self._most:
                self._try_again(replace(delivery, tries=delivery.tries + 1, is_last_try=True))
            else:
                timer = self._loop.call_later(pauses[delivery.tag], self._on_due, delivery.tag)
                self._waiting[delivery.tag] = (timer, delivery)

    def forget(self, tags: Collection[int]) -> None:
        """Take what is settled off the list."""
        self.open_tags.difference_update(tags)

    def stop(self) -> None:
        """Try nothing any more; the broker delivers again what waits."""
        for timer, _ in self._waiting.values():
            timer.cancel()
        self._waiting.clear()

    def _on_due(self, tag: int) -> None:
        _, delivery = self._waiting.pop(tag)
        self._try_again(replace(delivery, tries=delivery.tries + 1))


def acknowledgements(tags: Sequence[int], open_tags: Collection[int]) -> list[tuple[int, bool]]:
    """Choose how to acknowledge a batch's deliveries without covering one that is put off.

    Args:
        tags: To acknowledge, rising. Every lower tag of the channel is settled, or among the next.
        open_tags: Put off, and none of *tags*.

    Returns:
        Tags, each with whether the acknowledgement covers all before it.
    """
    lowest_open = min(open_tags, default=None)
    covered = [tag for tag in tags if lowest_open is None or tag < lowest_open]
    multiple = [(covered[-1], True)] if covered else []
    return multiple + [(tag, False) for tag in tags[len(covered) :]]
