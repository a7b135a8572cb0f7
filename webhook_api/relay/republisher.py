"""Publish the journal's backlog in slices, between which the loop handles requests.

The backlog stays in the journal while the events queue is deep. In the journal, it needs only disk space. In
the queue, it would slow the broker down and cause live requests to be refused (docs/performance.md).
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from webhook_api.journal import Backlog, Entry, Segment
from webhook_api.relay.link import BrokerLink
from webhook_api.relay.oversized import Oversized

BUFFER_LOW_BYTES: Final = 512 * 1024
"""Backlog is published only while at most this many bytes are unsent, which leaves space for live events."""

SLICE_SECONDS: Final = 0.005
"""Time between two slices. A slice takes one or two milliseconds, and a request waits for at most one."""

IDLE_SLICE_EVENTS: Final = 100
"""Size of a slice while no requests arrive: 20,000 events/s per process, more than a broker accepts."""

MAX_SLICE_EVENTS: Final = 200
"""Largest slice. Without a limit, the first after an outage would grow with all events accepted during it."""

MAX_AHEAD_EVENTS: Final = 5000
"""Limit on the republished events that the broker must handle before it answers the next probe.

Without this limit, an overloaded cluster took longer to handle a whole backlog than the 10 s allowed for a
probe, and the backlog was published again and again. With it, handling 500 events a second is enough.
"""


def slice_events(accepted: int) -> int:
    """Return how many events to republish if *accepted* live events arrived since the previous slice.

    A few requests hardly slow the backlog down. From about 1,500 requests a second, two events are
    republished for each request. Republishing an event takes a third of a request's time, so ingest keeps
    more than half of its throughput, on fast and slow machines alike.
    """
    return min(MAX_SLICE_EVENTS, max(2 * accepted, IDLE_SLICE_EVENTS - 10 * accepted))


class Republisher:
    """Keeps the backlog, and publishes it in slices while the broker accepts events."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        link: BrokerLink,
        oversized: Oversized,
        accepted: Callable[[], int],
    ) -> None:
        self._loop = loop
        self._link = link
        self._oversized = oversized
        self._count_accepted = accepted
        self._accepted = 0
        self._allowed = 0
        self._is_pumping = False
        # Whether any event of the partly read segment was neither published nor set aside.
        self._is_incomplete = False
        self.backlog = Backlog(loop.time)
        self.republished = 0
        self.damaged_segments = 0

    def extend(self, segments: Iterable[Segment]) -> None:
        """Add segments that are newer than all segments of the backlog."""
        self.backlog.extend(segments)
        self.resume()

    def restore(self, segments: list[Segment]) -> None:
        """Put back, in front of all others, the segments whose publishing was interrupted."""
        self.backlog.restore(segments)
        self._allowed = 0

    def allow(self, events: int) -> None:
        """Set how many events may be republished until the next probe is answered."""
        self._allowed = min(events, MAX_AHEAD_EVENTS)
        self.resume()

    def resume(self) -> None:
        """Schedule the next slice, if there is a backlog and the broker accepts events."""
        self.backlog.retry_postponed()
        if not self._is_pumping and len(self.backlog) and self._allowed > 0 and self._link.is_open:
            self._is_pumping = True
            self._loop.call_later(SLICE_SECONDS, self._pump)

    def _pump(self) -> None:
        self._is_pumping = False
        if self._link.is_open and self._link.buffered_bytes <= BUFFER_LOW_BYTES:
            before, self._accepted = self._accepted, self._count_accepted()
            limit = min(self._allowed, slice_events(self._accepted - before))
            self._is_incomplete &= not self.backlog.is_between_segments
            self._publish_slice(*self.backlog.read(limit))
        self.resume()

    def _publish_slice(self, entries: list[Entry], finished: Segment | None) -> None:
        is_complete = False
        try:
            # Build a list first, so that all events are published even if one of them cannot be set aside.
            is_complete = all(list(map(self._publish, entries)))
        finally:
            self._allowed -= len(entries)
            self._is_incomplete |= not is_complete
            if finished is not None:
                self._finish(finished)
        self._link.flush()

    def _finish(self, segment: Segment) -> None:
        if self._is_incomplete:
            self.backlog.postpone(segment)
        else:
            self.damaged_segments += segment.is_damaged
            self._link.prove(segment)

    def _publish(self, entry: Entry) -> bool:
        """Publish one event or set it aside; return whether that succeeded."""
        if len(entry.body) > self._link.size_limit:
            return self._oversized.keep(entry, self._link.size_limit)
        self._link.publish([(entry.properties, entry.body)])
        self.republished += 1
        return True
