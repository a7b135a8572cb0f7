"""Define how it is proven that the broker has an event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from webhook_api.journal import Segment


class Proof(Protocol):
    """The segments on their way over the present connection, oldest first, until they are proven."""

    @property
    def segments(self) -> list[Segment]:
        """The segments not proven yet, oldest first."""

    def add(self, segment: Segment, last_tag: int) -> None:
        """Take a segment all of whose events have been published, none later than as *last_tag*."""

    def ask(self) -> None:
        """Note that a probe is being sent."""

    def answer(self, now: float, majority_until: float) -> list[Segment]:
        """Note that the probe was answered.

        Args:
            now: Monotonic seconds.
            majority_until: Up to when the queue is known to have had a majority.

        Returns:
            The segments proven by now, no longer here.
        """

    def interrupt(self) -> list[Segment]:
        """Give back everything unproven, oldest first: the connection is gone, publish it again."""
