"""Publish what waits in the journal, slice by slice, between the requests of the loop.

It stays in the journal while the events queue is deep: there a backlog costs disk space, in the queue it
would have live requests refused, and slow the broker down (docs/performance.md).
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from webhook_api.journal import WaitingSegments

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable

    from webhook_api.journal import Entry, Segment
    from webhook_api.relay.outlet import Outlet
    from webhook_api.relay.oversized import Oversized

BUFFER_LOW_BYTES: Final = 512 * 1024
"""Unsent bytes up to which more is published; live events have the rest of the buffer for themselves."""

SLICE_SECONDS: Final = 0.005
"""Between slices: a slice is a millisecond or two of work, and requests wait for no more than one."""

IDLE_SLICE_EVENTS: Final = 100
"""Where no request comes in between: 20,000 a second and process, more than a broker takes."""

LARGEST_SLICE_EVENTS: Final = 200
"""The first slice after an outage counts all that came in meanwhile; it must not hold the loop for it."""


MOST_AHEAD_EVENTS: Final = 5000
"""How much the next probe may have to wait behind, on the same channel.

A cluster at its limit took longer for a whole backlog than a probe is waited for (10 s): the connection was
given up and all of it published again, for ever. Of this much it must take 500 events a second.
"""


def slice_events(accepted: int) -> int:
    """Return how many waiting events to publish beside those that came in since the slice before.

    A trickle of requests hardly slows the backlog. From some 1,500 requests a second on the backlog gets
    two events for each that comes in: republishing one costs a third of a request, so that ingest keeps
    more than half of what it has alone, on a fast machine as on a slow one.
    """
    return min(LARGEST_SLICE_EVENTS, max(2 * accepted, IDLE_SLICE_EVENTS - 10 * accepted))


class Republisher:
    """The waiting segments and the pump that empties them while the broker takes events.

    Args:
        loop: The loop of this process.
        outlet: Where the events go.
        oversized: Takes what is too large for the broker.
        count_accepted: Returns how many events this process has accepted so far.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        outlet: Outlet,
        oversized: Oversized,
        count_accepted: Callable[[], int],
    ) -> None:
        self._loop = loop
        self._outlet = outlet
        self._oversized = oversized
        self._count_accepted = count_accepted
        self._accepted = 0
        self._allowed = 0
        self._is_pumping = False
        self._slice: deque[Entry] = deque()
        self._finished: list[Segment] = []
        self.waiting = WaitingSegments()
        self.republished = 0
        self.damaged_segments = 0

    @property
    def has_work(self) -> bool:
        """Whether anything waits that can be read."""
        return bool(self._slice or len(self.waiting))

    def extend(self, segments: Iterable[Segment]) -> None:
        """Add segments that are newer than all that wait."""
        self.waiting.extend(segments)
        self.go_on()

    def restore(self, segments: list[Segment]) -> None:
        """Put back segments whose publishing was interrupted, before all others."""
        self.waiting.restore([*segments, *self._finished])
        self._slice.clear()
        self._finished.clear()
        self._allowed = 0

    def allow(self, events: int) -> None:
        """Publish so many and no more, nor more than a probe may wait for, until the next probe's answer."""
        self._allowed = min(events, MOST_AHEAD_EVENTS)
        self.go_on()

    def go_on(self) -> None:
        """Publish slice after slice from now on, while something waits and the broker takes it."""
        self.waiting.try_again(self._loop.time())
        if not self._is_pumping and self.has_work and self._allowed > 0 and self._outlet.is_open:
            self._is_pumping = True
            self._loop.call_later(SLICE_SECONDS, self._pump)

    def _pump(self) -> None:
        self._is_pumping = False
        if self._outlet.is_open and self._outlet.buffered_bytes <= BUFFER_LOW_BYTES:
            self._read_slice()
            self._publish_slice()
        self.go_on()

    def _read_slice(self) -> None:
        """Read further events, unless some are left of the slice before."""
        if self._slice:
            return
        before, self._accepted = self._accepted, self._count_accepted()
        limit = min(self._allowed, slice_events(self._accepted - before))
        entries, self._finished = self.waiting.take(limit)
        self._slice.extend(entries)

    def _publish_slice(self) -> None:
        while self._slice:
            if not self._publish(self._slice[0]):
                # The disk may take the event later; until then nothing behind it goes out either.
                self._allowed = 0
                break
            self._slice.popleft()
            self._allowed -= 1
        self._outlet.flush()
        if not self._slice:
            self._tell_finished()

    def _publish(self, entry: Entry) -> bool:
        """Publish one event or set it aside; return whether either was done."""
        if len(entry.body) > self._outlet.size_limit:
            return self._oversized.keep(entry, self._outlet.size_limit)
        self._outlet.publish([(entry.properties, entry.body)])
        self.republished += 1
        return True

    def _tell_finished(self) -> None:
        for segment in self._finished:
            self.damaged_segments += segment.is_damaged
            self._outlet.prove(segment)
        self._finished = []
