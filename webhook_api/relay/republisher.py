"""Publish the journal's backlog, slice by slice, between the requests of the loop.

The backlog stays in the journal while the events queue is deep. In the journal it costs only disk space. In
the queue it would cause live requests to be refused, and slow the broker down (docs/performance.md).
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from webhook_api.journal import Backlog, Entry, Segment
from webhook_api.relay.link import BrokerLink
from webhook_api.relay.oversized import Oversized

BUFFER_LOW_BYTES: Final = 512 * 1024
"""Unsent bytes up to which the backlog is published; the rest of the buffer is for live events."""

SLICE_SECONDS: Final = 0.005
"""Time between slices: a slice takes a millisecond or two, and a request waits for at most one slice."""

IDLE_SLICE_EVENTS: Final = 100
"""Size of a slice when no requests arrive: 20,000 events a second and process, more than a broker accepts."""

MAX_SLICE_EVENTS: Final = 200
"""Limits the first slice after an outage, because it counts all events accepted during the outage."""

MAX_AHEAD_EVENTS: Final = 5000
"""The most republished events that the next probe may have to wait behind, on the same channel.

An overloaded cluster once took longer for a whole backlog than the 10 s that a probe may take, so that the
backlog was published again and again. With this limit, a cluster must accept 500 events a second.
"""


def slice_events(accepted: int) -> int:
    """Return how many waiting events to publish after *accepted* live events since the previous slice.

    A few requests hardly slow the backlog. From about 1,500 requests a second, two waiting events are
    published for each request. Republishing an event costs a third of a request, so ingest keeps more than
    half of its throughput, whether the machine is fast or slow.
    """
    return min(MAX_SLICE_EVENTS, max(2 * accepted, IDLE_SLICE_EVENTS - 10 * accepted))


class Republisher:
    """The backlog and the pump that empties it while the broker accepts events."""

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
        self._slice: deque[Entry] = deque()
        self._finished: list[Segment] = []
        self.backlog = Backlog()
        self.republished = 0
        self.damaged_segments = 0

    def extend(self, segments: Iterable[Segment]) -> None:
        """Add segments that are newer than the whole backlog."""
        self.backlog.extend(segments)
        self.resume()

    def restore(self, segments: list[Segment]) -> None:
        """Put back segments whose publishing was interrupted, before all others."""
        self.backlog.restore([*segments, *self._finished])
        self._slice.clear()
        self._finished.clear()
        self._allowed = 0

    def allow(self, events: int) -> None:
        """Publish at most this many events until the next probe is answered."""
        self._allowed = min(events, MAX_AHEAD_EVENTS)
        self.resume()

    def resume(self) -> None:
        """Start to publish slice after slice, while there is a backlog and the broker accepts events."""
        self.backlog.retry_unreadable(self._loop.time())
        has_work = bool(self._slice or len(self.backlog))
        if not self._is_pumping and has_work and self._allowed > 0 and self._link.is_open:
            self._is_pumping = True
            self._loop.call_later(SLICE_SECONDS, self._pump)

    def _pump(self) -> None:
        self._is_pumping = False
        if self._link.is_open and self._link.buffered_bytes <= BUFFER_LOW_BYTES:
            # A previous slice remains if the disk refused to set one of its events aside.
            if not self._slice:
                before, self._accepted = self._accepted, self._count_accepted()
                limit = min(self._allowed, slice_events(self._accepted - before))
                entries, self._finished = self.backlog.read(limit)
                self._slice.extend(entries)
            self._publish_slice()
        self.resume()

    def _publish_slice(self) -> None:
        while self._slice:
            if not self._publish(self._slice[0]):
                # The disk may accept the event later; until then no later event is published either.
                self._allowed = 0
                break
            self._slice.popleft()
            self._allowed -= 1
        self._link.flush()
        if not self._slice:
            for segment in self._finished:
                self.damaged_segments += segment.is_damaged
                self._link.prove(segment)
            self._finished = []

    def _publish(self, entry: Entry) -> bool:
        """Publish one event or set it aside; return whether that succeeded."""
        if len(entry.body) > self._link.size_limit:
            return self._oversized.keep(entry, self._link.size_limit)
        self._link.publish([(entry.properties, entry.body)])
        self.republished += 1
        return True
