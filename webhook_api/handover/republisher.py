"""Publish what waits in the journal, slice by slice, between the requests of the loop.

It stays in the journal while the events queue is deep: there a backlog costs disk space, in the queue it
would have live requests refused, and slow the broker down (docs/performance.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from webhook_api.handover.waiting import WaitingSegments

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable

    from messaging.publisher import Publisher
    from webhook_api.journal.directory import Segment

BUFFER_LOW_BYTES: Final = 512 * 1024
"""Unsent bytes up to which more is published; live events have the rest of the buffer for themselves."""

SLICE_SECONDS: Final = 0.005
"""Between slices: a slice is a millisecond or two of work, and requests wait for no more than one."""

IDLE_SLICE_EVENTS: Final = 100
"""Where no request comes in between: 20,000 a second and process, more than a broker takes."""

LARGEST_SLICE_EVENTS: Final = 200
"""The first slice after an outage counts all that came in meanwhile; it must not hold the loop for it."""


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
        publisher: Where the events go.
        on_published: Told each segment all of whose events have been published.
        count_accepted: Returns how many events this process has accepted so far.
        count_published: Told how many events have been published.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        publisher: Publisher,
        on_published: Callable[[Segment], None],
        count_accepted: Callable[[], int],
        count_published: Callable[[int], None],
    ) -> None:
        self._loop = loop
        self._publisher = publisher
        self._on_published = on_published
        self._count_accepted = count_accepted
        self._count_published = count_published
        self._accepted = 0
        self._allowed = 0
        self._is_pumping = False
        self.waiting = WaitingSegments()
        self.republished = 0
        self.damaged_segments = 0

    def extend(self, segments: Iterable[Segment]) -> None:
        """Add segments that are newer than all that wait."""
        self.waiting.extend(segments)
        self.go_on()

    def restore(self, segments: list[Segment]) -> None:
        """Put back segments whose publishing was interrupted, before all others."""
        self.waiting.restore(segments)
        self._allowed = 0

    def allow(self, events: int) -> None:
        """Publish so many and no more, until the queue has been looked at again."""
        self._allowed = events
        self.go_on()

    def go_on(self) -> None:
        """Publish slice after slice from now on, while something waits and the broker takes it."""
        may_publish = self._publisher.can_publish and self._allowed > 0
        if not self._is_pumping and may_publish and len(self.waiting):
            self._is_pumping = True
            self._loop.call_later(SLICE_SECONDS, self._pump)

    def _pump(self) -> None:
        self._is_pumping = False
        if self._publisher.can_publish and self._publisher.buffered_bytes <= BUFFER_LOW_BYTES:
            self._publish_slice()
        self.go_on()

    def _publish_slice(self) -> None:
        before, self._accepted = self._accepted, self._count_accepted()
        entries, finished = self.waiting.take(min(self._allowed, slice_events(self._accepted - before)))
        self._allowed -= len(entries)
        for entry in entries:
            self._publisher.publish(entry.properties, entry.body)
        self._publisher.flush()
        self.republished += len(entries)
        self._count_published(len(entries))
        for segment in finished:
            self.damaged_segments += segment.is_damaged
            self._on_published(segment)
