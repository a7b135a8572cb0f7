"""Publish what waits in the journal, slice by slice, between the requests of the loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from webhook_api.waiting import WaitingSegments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from messaging.loop import Loop
    from messaging.publisher import Publisher
    from webhook_api.journal_directory import Segment

SLICE_EVENTS: Final = 100
"""Events republished in one turn of the loop: a millisecond's work, so that requests come through."""

BUFFER_LOW_BYTES: Final = 1024 * 1024
"""Unsent bytes up to which more is published; live events have the rest of the buffer for themselves."""

PACE_SECONDS: Final = 0.005
"""Between looks at a buffer above that."""


class Republisher:
    """The waiting segments and the pump that empties them while the broker takes events.

    Args:
        loop: The loop of this process.
        publisher: Where the events go.
        on_published: Told each segment all of whose events have been published.
    """

    def __init__(self, loop: Loop, publisher: Publisher, on_published: Callable[[Segment], None]) -> None:
        self._loop = loop
        self._publisher = publisher
        self._on_published = on_published
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

    def go_on(self) -> None:
        """Pump from the next turn on, if there is anything to do and the broker takes it."""
        self._pump_after(0.0)

    def _pump_after(self, delay: float) -> None:
        can_publish = self._publisher.ready and not self._publisher.blocked
        if not self._is_pumping and can_publish and len(self.waiting):
            self._is_pumping = True
            self._loop.call_later(delay, self._pump)

    def _pump(self) -> None:
        self._is_pumping = False
        if not self._publisher.ready or self._publisher.blocked:
            return
        if self._publisher.buffered_bytes > BUFFER_LOW_BYTES:
            self._pump_after(PACE_SECONDS)
            return
        self._publish_slice()
        self._pump_after(0.0)

    def _publish_slice(self) -> None:
        entries, finished = self.waiting.take(SLICE_EVENTS)
        for entry in entries:
            self._publisher.publish(entry.properties, entry.body)
        self._publisher.flush()
        self.republished += len(entries)
        for segment in finished:
            self.damaged_segments += segment.is_damaged
            self._on_published(segment)
