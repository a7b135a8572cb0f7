"""Prove journal segments by probes, without publisher confirms.

A probe is a synchronous method on the channel of the publishes. RabbitMQ handles a channel's methods in
order, so its answer proves that everything sent before was received, parsed and handed to the queue. It does
not prove that the quorum queue has flushed it: that takes milliseconds, and a second answer on the same,
never interrupted connection a grace period later shows that the broker outlived them. On a cluster that says
something only while the queue has a majority, so one must have been seen for as long (majority.py).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from webhook_api.journal import Segment

GRACE_SECONDS: Final = 5.0
"""A thousand times the write-ahead log's usual flush, and still short beside any journal's capacity."""


@dataclass(slots=True)
class _Sent:
    """A segment all of whose events were published on the present connection."""

    segment: Segment
    answered_at: float | None = None


class Barrier:
    """The segments on their way over the present connection, oldest first."""

    def __init__(self) -> None:
        self._sent: deque[_Sent] = deque()
        self._covered = 0

    @property
    def segments(self) -> list[Segment]:
        """The segments not proven yet, oldest first."""
        return [sent.segment for sent in self._sent]

    def add(self, segment: Segment, _last_tag: int) -> None:
        """Take a segment all of whose events have been published."""
        self._sent.append(_Sent(segment))

    def ask(self) -> None:
        """Note that a probe is being sent: it speaks for every segment here now."""
        self._covered = len(self._sent)

    def answer(self, now: float, majority_until: float) -> list[Segment]:
        """Note that the probe was answered.

        Args:
            now: Monotonic seconds.
            majority_until: Up to when the queue is known to have had a majority; *now* on a lone broker.

        Returns:
            The segments proven by it, no longer here.
        """
        proven = []
        for sent in list(self._sent)[: self._covered]:
            if sent.answered_at is None:
                sent.answered_at = now
            elif majority_until - sent.answered_at >= GRACE_SECONDS:
                proven.append(sent.segment)
        for _ in proven:
            self._sent.popleft()
        return proven

    def interrupt(self) -> list[Segment]:
        """Give back everything unproven, oldest first: the connection is gone, publish it again."""
        unproven = self.segments
        self._sent.clear()
        self._covered = 0
        return unproven
