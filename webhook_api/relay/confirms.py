"""Prove journal segments by publisher confirms: the broker's own word that a majority has each event.

A confirm lets go of the journal and does nothing else; the answer to the sender has left long before it.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from webhook_api.journal import Segment


class Confirms:
    """The segments on their way over the present connection, and the delivery tags confirmed on it.

    A segment waits until every tag up to its last is confirmed, those of other segments' events in between
    included: the broker confirms all of them within moments, and ranges are cheaper to keep than sets.
    """

    def __init__(self) -> None:
        self._sent: deque[tuple[Segment, int]] = deque()
        self._confirmed_up_to = 0
        self._confirmed_above: set[int] = set()

    @property
    def segments(self) -> list[Segment]:
        """The segments not proven yet, oldest first."""
        return [segment for segment, _ in self._sent]

    def confirm(self, tag: int, is_multiple: bool) -> None:  # noqa: FBT001  # as AMQP has it
        """Take in a confirm: of one delivery tag, or of all up to it."""
        if is_multiple:
            if self._confirmed_above:
                self._confirmed_above.difference_update(range(self._confirmed_up_to + 1, tag + 1))
            self._confirmed_up_to = max(self._confirmed_up_to, tag)
        else:
            self._confirmed_above.add(tag)
        while self._confirmed_up_to + 1 in self._confirmed_above:
            self._confirmed_up_to += 1
            self._confirmed_above.remove(self._confirmed_up_to)

    def add(self, segment: Segment, last_tag: int) -> None:
        """Take a segment all of whose events have been published, none later than as *last_tag*."""
        self._sent.append((segment, last_tag))

    def ask(self) -> None:
        """Let probes be: they prove nothing here."""

    def answer(self, _now: float, _majority_until: float) -> list[Segment]:
        """Return the segments confirmed by now; a probe's answer is only the moment to look."""
        proven = []
        while self._sent and self._sent[0][1] <= self._confirmed_up_to:
            proven.append(self._sent.popleft()[0])
        return proven

    def interrupt(self) -> list[Segment]:
        """Give back everything unproven, oldest first; the next connection counts its tags from 1."""
        unproven = self.segments
        self._sent.clear()
        self._confirmed_up_to = 0
        self._confirmed_above.clear()
        return unproven
