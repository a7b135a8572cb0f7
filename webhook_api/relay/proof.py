"""Prove that the broker has the events of published segments, by probes or by publisher confirms.

A probe is a synchronous method on the channel of the publishes. RabbitMQ handles a channel's methods in
order, so its answer proves that all events sent before it were received, parsed and passed to the queue. The
answer does not prove that the quorum queue has flushed them, which takes milliseconds. A second probe is sent
after a grace period on the same connection. If no interruption occurred, its answer shows that the broker did
not fail before the flush. On a cluster this holds only while the queue has a majority, so a majority must
have been seen for that whole time (majority.py).
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

from webhook_api.journal import Segment

GRACE_SECONDS: Final = 5.0
"""A thousand times a usual flush of the write-ahead log; the journal easily holds the events of this time."""


@dataclass(slots=True)
class _Published:
    """A segment whose events were all published on the present connection, with tags up to *last_tag*."""

    segment: Segment
    last_tag: int
    answered_at: float | None = None


class DeliveryProof:
    """The unproven segments that were published over the present connection, oldest first."""

    def __init__(self) -> None:
        self._published: deque[_Published] = deque()

    @property
    def segments(self) -> list[Segment]:
        """The segments, oldest first."""
        return [published.segment for published in self._published]

    def add(self, segment: Segment, last_tag: int) -> None:
        """Add a segment whose events have all been published, with delivery tags up to *last_tag*."""
        self._published.append(_Published(segment, last_tag))

    def on_probe_sent(self, now: float) -> None:
        """Called when a probe is sent; *now* in monotonic seconds."""

    def on_probe_answered(self, now: float, majority_until: float) -> list[Segment]:
        """Called when a probe is answered.

        Args:
            now: Monotonic seconds.
            majority_until: When the queue was last known to have a majority; *now* on a single broker.

        Returns:
            The segments that are now proven; they are removed from this object.
        """
        raise NotImplementedError

    def interrupt(self) -> list[Segment]:
        """Return all unproven segments, oldest first, to be published again: the connection was lost."""
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
        """Record that this probe covers all segments added so far."""
        self._covered = len(self._published)
        self._probe_sent_at = now

    def on_probe_answered(self, now: float, majority_until: float) -> list[Segment]:
        """Return the segments whose first answer arrived at least GRACE_SECONDS before this probe was sent.

        The time of this probe's answer does not count: the broker may have failed after it sent the answer.
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
        """Forget the segments, and the probe that covers them."""
        self._covered = 0
        return super().interrupt()


class Confirms(DeliveryProof):
    """Proof by publisher confirms. The 200 is sent long before the confirm arrives.

    A segment waits until every tag up to its last is confirmed, including those of other segments' events in
    between: the broker confirms all of them within moments, and a range is cheaper to keep than a set.
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
        """Return the confirmed segments; here, the answer to a probe proves nothing by itself."""
        proven = []
        while self._published and self._published[0].last_tag <= self._confirmed_up_to:
            proven.append(self._published.popleft().segment)
        return proven

    def interrupt(self) -> list[Segment]:
        """Forget the segments and their confirms: the next connection counts its tags from 1."""
        self._confirmed_up_to = 0
        self._confirmed_above.clear()
        return super().interrupt()
