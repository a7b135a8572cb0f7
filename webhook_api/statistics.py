"""Count what this process answers, and how soon, for the workers to keep (messaging/edge_statistics.py)."""

from __future__ import annotations

import socket
from bisect import bisect_left
from collections import Counter
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from messaging.edge_statistics import BOUNDS_SECONDS, EdgeStatistics

if TYPE_CHECKING:
    from messaging.clock import Clock
    from webhook_api.answer import Answer

SOON: Final = BOUNDS_SECONDS[0]
NOT_KEPT: Final = "503"
"""What events are answered that the journal did not keep."""


class Statistics:
    """The counts of the interval that has not been told yet.

    Args:
        clock: Where time comes from.
        process: Unique to this process.
        seconds: How long an interval is; 0: none is ever told.

    `refusals`: how many since the process began, by status.
    `durations`: 200s since the process began, by the first of BOUNDS_SECONDS that they did not exceed; the
    last counts those that exceeded all.
    `seconds`: how long these took together.
    """

    def __init__(self, clock: Clock, process: str, seconds: float) -> None:
        self._clock = clock
        self._monotonic = clock.monotonic
        self._process = process
        self._seconds = seconds
        self._edge = socket.gethostname()
        self._looked_at = self._turn_began = clock.monotonic()
        self.refusals: Counter[str] = Counter()
        self.durations = [0] * (len(BOUNDS_SECONDS) + 1)
        self.seconds = 0.0
        self.begin()

    def begin(self) -> None:
        """Begin an interval; what was counted before has been told."""
        self._began_us = self._clock.now_us()
        self._began = self._clock.monotonic()
        self._durations_before = self.durations.copy()
        self._longest = 0.0
        self._refused_before = self.refusals.copy()

    def open_turn(self) -> None:
        """Note that the first webhook of a turn of the loop is there."""
        self._turn_began = self._monotonic()

    def close_turn(self, answers: int, *, is_kept: bool) -> None:
        """Count the turn's answers, which have left together.

        Args:
            answers: How many.
            is_kept: Whether they were 200; otherwise 503.
        """
        if not answers:
            return
        if is_kept:
            seconds = self._monotonic() - self._turn_began
            self.durations[0 if seconds <= SOON else bisect_left(BOUNDS_SECONDS, seconds)] += answers
            self.seconds += seconds * answers
            if seconds > self._longest:  # noqa: PLR1730  # of a turn's cost a fifth would be the call of max
                self._longest = seconds
        else:
            self.refusals[NOT_KEPT] += answers

    def refused(self, answer: Answer) -> Answer:
        """Count a refusal, and return it."""
        self.refusals[str(answer.status)] += 1
        return answer

    def look(self, expected_seconds: float) -> EdgeStatistics | None:
        """Return what is to be told now, if anything; then `begin`, once it is on its way.

        Args:
            expected_seconds: Between two calls. What more has passed, the loop was held up, and a request may
                have waited in the kernel.
        """
        now = self._clock.monotonic()
        self._longest = max(self._longest, now - self._looked_at - expected_seconds)
        self._looked_at = now
        return self.told() if self._seconds and now - self._began >= self._seconds else None

    def told(self) -> EdgeStatistics | None:
        """Return the interval as far as it has come; None where nothing was answered in it."""
        refused = self.refusals - self._refused_before
        durations = [now - before for now, before in zip(self.durations, self._durations_before, strict=True)]
        if not self._seconds or not (any(durations) or refused):
            return None
        *within, everything = accumulate(durations)
        return EdgeStatistics(
            self._edge,
            self._process,
            self._began_us,
            round(self._clock.monotonic() - self._began, 3),
            everything,
            tuple(within),
            round(self._longest * 1_000_000),
            dict(refused),
        )
