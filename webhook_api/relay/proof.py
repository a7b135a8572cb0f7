"""Prove that the broker has the events of published segments: by probes, or by publisher confirms.

A probe is a synchronous method on the channel of the publishes. RabbitMQ handles a channel's methods in
order, so its answer proves that everything sent before was received, parsed and passed to the queue. It does
not prove that the quorum queue has flushed it. That takes milliseconds; the answer to a probe that is sent a
grace period later, on the same connection and without any interruption, shows that the broker outlived them.
On a cluster this holds only while the queue has a majority, so one must have been seen for as long
(majority.py).
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

from webhook_api.journal import Segment

GRACE_SECONDS: Final = 5.0
"""A thousand times the write-ahead log's usual flush, and still short compared with a journal's capacity."""


@dataclass(slots=True)
class _Published:
    """A segment whose events were all published on the present connection, none later than *last_tag*."""

    segment: Segment
    last_tag: int
    answered_at: float | None = None


class DeliveryProof:
    """The segments published over the present connection and not proven yet, oldest first."""

    def __init__(self) -> None:
        self._published: deque[_Published] = deque()

    @property
    def segments(self) -> list[Segment]:
        """The segments, oldest first."""
        return [published.segment for published in self._published]

    def add(self, segment: Segment, last_tag: int) -> None:
        """Add a segment whose events have all been published, none later than as *last_tag*."""
        self._published.append(_Published(segment, last_tag))

    def on_probe_sent(self, now: float) -> None:
        """Called when a probe is sent; *now* in monotonic seconds."""

    def on_probe_answered(self, now: float, majority_until: float) -> list[Segment]:
        """Called when a probe is answered.

        Args:
            now: Monotonic seconds.
            majority_until: Until when the queue is known to have had a majority; *now* on a lone broker.

        Returns:
            The segments proven by now, which are removed from here.
        """
        raise NotImplementedError

    def interrupt(self) -> list[Segment]:
        """Return everything unproven, oldest first: the connection is gone, so publish it again."""
        unproven = self.segments
        self._published.clear()
        return unproven


class Barrier(DeliveryProof):
    """Proof by the answers of two probes, without publisher confirms."""

    def __init__(self) -> None:
        super().__init__()
        self._covered = 0
        self._probe_sent_at = 0.0

    def on_probe_sent(self, now: float) -> None:
        """Cover every segment that is here now."""
        self._covered = len(self._published)
        self._probe_sent_at = now

    def on_probe_answered(self, now: float, majority_until: float) -> list[Segment]:
        """Return the segments whose first answer came GRACE_SECONDS or more before this probe was sent.

        When the answer came does not count: the broker may have died while it was on its way.
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
        """Forget the probe with the segments."""
        self._covered = 0
        return super().interrupt()


class Confirms(DeliveryProof):
    """Proof by publisher confirms. The 200 is sent long before the confirm arrives.

    A segment waits until every tag up to its last is confirmed, including those of other segments' events in
    between: the broker confirms all of them within moments, and ranges are cheaper to keep than sets.
    """

    def __init__(self) -> None:
        super().__init__()
        self._confirmed_up_to = 0
        self._confirmed_above: set[int] = set()

    def confirm(self, tag: int, is_multiple: bool) -> None:  # noqa: FBT001  # as AMQP has it
        """Record a confirm of one delivery tag, or of all up to it."""
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
        """Return the confirmed segments; the answer itself proves nothing here."""
        proven = []
        while self._published and self._published[0].last_tag <= self._confirmed_up_to:
            proven.append(self._published.popleft().segment)
        return proven

    def interrupt(self) -> list[Segment]:
        """Forget the confirms with the segments: the next connection counts its tags from 1."""
        self._confirmed_up_to = 0
        self._confirmed_above.clear()
        return super().interrupt()
