"""Log a sample of what is refused: nobody who is turned away fills a disk by that."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from messaging.log import logger

if TYPE_CHECKING:
    from messaging.clock import Clock
    from webhook_api.answer import Answer
    from webhook_api.statistics import Statistics

LINES_A_SECOND: Final = 5
"""Of each kind; what a person can read, and what shows that one is more than a slip."""


class Refusals:
    """What this process has refused.

    Args:
        clock: Where time comes from.
        statistics: Counts them.
    """

    def __init__(self, clock: Clock, statistics: Statistics) -> None:
        self._clock = clock
        self._statistics = statistics
        self._second = -1
        self._lines: Counter[tuple[int, str]] = Counter()
        self._left_out: Counter[tuple[int, str]] = Counter()

    def note(self, answer: Answer, reason: str | None = None, **facts: object) -> Answer:
        """Count a refusal, log it unless there have been enough of its kind in this second, and return it.

        Args:
            answer: What the sender is told.
            reason: Of a bounded number of sentences, since each is a kind of its own; else the answer's text.
            facts: More for the line; identifiers and sizes.
        """
        self._statistics.refused(answer)
        self._log((answer.status, reason or answer.text), facts)
        return answer

    def _log(self, kind: tuple[int, str], facts: dict[str, object]) -> None:
        second = int(self._clock.monotonic())
        if second != self._second:
            self._second = second
            self._lines.clear()
        self._lines[kind] += 1
        if self._lines[kind] > LINES_A_SECOND:
            self._left_out[kind] += 1
            return
        if left_out := self._left_out.pop(kind, 0):
            facts["left_out"] = left_out
        status, reason = kind
        logger().warning("webhook_refused", status=status, reason=reason, **facts)
