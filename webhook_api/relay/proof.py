"""Prove that the broker has the events of published segments, using probes or publisher confirms.

A probe is a synchronous method on the publisher's channel. RabbitMQ handles the methods of a channel in
order, so the answer to a probe proves that all events sent before the probe were received, parsed and passed
to the queue. It does not prove that the quorum queue has flushed them, which takes milliseconds. So a second
probe is sent on the same connection after a grace period. Its answer shows that the broker did not fail
before the flush. On a cluster, it shows this only if the queue had a majority throughout (majority.py).
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

from webhook_api.journal import Segment

GRACE_SECONDS: Final = 5.0
"""Time between the two probes of a proof. A flush of the write-ahead log usually takes a thousandth
of this time, and a journal easily holds 5 s of events."""


@dataclass(slots=True)
class _Published:
    """A segment that was published on the current connection, with delivery tags up to *last_tag*."""

    segment: Segment
    last_tag: int
    answered_at: float | None = None


class DeliveryProof:
    """Keeps the unproven segments that were published over the current connection, and proves them."""

    def __init__(self) -> None:
        self._published: deque[_Published] = deque()

    @property
    def segments(self) -> list[Segment]:
        """The unproven segments, oldest first."""
        return [published.segment for published in self._published]

    def add(self, segment: Segment, last_tag: int) -> None:
        """Add a segment whose events have all been published, with delivery tags up to *last_tag*."""
        self._published.append(_Published(segment, last_tag))

    def on_probe_sent(self, now: float) -> None:
        """Called when a probe is sent. *now* is in monotonic seconds."""

    def on_probe_answered(self, now: float, majority_until: float) -> list[Segment]:
        """Called when a probe is answered. Remove and return the segments that are now proven.

        *majority_until*: when the newest report of a majority was requested; for a single broker, *now*.
        """
        raise NotImplementedError

    def interrupt(self) -> list[Segment]:
        """Called when the connection is lost. Remove and return all unproven segments, oldest first."""
        unproven = self.segments
        self._published.clear()
        return unproven


class Barrier(DeliveryProof):
    """Proves segments by the answers to two probes, without publisher confirms."""

    def __init__(self) -> None:
        super().__init__()
        self._covered = 0
        self._probe_sent_at = 0.0

    def on_probe_sent(self, now: float) -> None:
        """Record that this probe covers all segments added so far."""
        self._covered = len(self._published)
        self._probe_sent_at = now

    def on_probe_answered(self, now: float, majority_until: float) -> list[Segment]:
        """Return the segments whose first probe was answered at least GRACE_SECONDS before this one was sent.

        The time at which this answer arrives does not count: the broker might have failed after sending it.
        """
        alive_until = min(self._probe_sent_at, majority_until)
        proven = []
        for published in list(self._published)[: self._covered]:
            if published.answered_at is None:
                published.answered_at = now
            elif alive_until - published.answered_at >= GRACE_SECONDS:
                proven.append(published.segment)
        for _ in proven:
            self._published.popleft()
        return proven

    def interrupt(self) -> list[Segment]:
        """Remove and return the segments, and forget the probe that covers them."""
        self._covered = 0
        return super().interrupt()


class Confirms(DeliveryProof):
    """Proves segments with publisher confirms. A webhook's 200 is sent long before the confirm arrives.

    A segment is proven when all tags up to its last tag are confirmed, including tags of other segments. The
    broker confirms all those tags within moments, and a range of tags needs less memory than a set of tags.
    """

    def __init__(self) -> None:
        super().__init__()
        self._confirmed_up_to = 0
        self._confirmed_above: set[int] = set()

    def confirm(self, tag: int, is_multiple: bool) -> None:  # noqa: FBT001  # as in AMQP
        """Record the confirm of one delivery tag or, if *is_multiple* is true, of all tags up to it."""
        if is_multiple:
            if self._confirmed_above:
                self._confirmed_above.difference_update(range(self._confirmed_up_to + 1, tag + 1))
            self._confirmed_up_to = max(self._confirmed_up_to, tag)
        else:
            self._confirmed_above.add(tag)
        while self._confirmed_up_to + 1 in self._confirmed_above:
            self._confirmed_up_to += 1
            self._confirmed_above.remove(self._confirmed_up_to)

    def on_probe_answered(self, _now: float, _majority_until: float) -> list[Segment]:
        """Remove and return the confirmed segments; the answer to the probe itself proves nothing here."""
        proven = []
        while self._published and self._published[0].last_tag <= self._confirmed_up_to:
            proven.append(self._published.popleft().segment)
        return proven

    def interrupt(self) -> list[Segment]:
        """Remove and return the segments, and forget the confirms: a new connection counts tags from 1."""
        self._confirmed_up_to = 0
        self._confirmed_above.clear()
        return super().interrupt()
