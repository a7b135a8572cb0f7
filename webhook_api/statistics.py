"""Count this process's responses and their delay, and log a sample of the refusals."""

import socket
from bisect import bisect_left
from collections import Counter
from itertools import accumulate
from typing import Final

from messaging.clock import Clock
from messaging.edge_statistics import BOUNDS_SECONDS, EdgeStatistics
from messaging.log import logger
from webhook_api.http import Response

FIRST_BOUND: Final = BOUNDS_SECONDS[0]
NOT_DURABLE: Final = "503"
"""The status of responses to events that the journal failed to write."""

LINES_PER_SECOND: Final = 5
"""Of each kind of refusal: as many as an operator can read, and enough to show that it is more than one."""


class Statistics:
    """The counts of the interval that has not been sent to the workers yet (messaging/edge_statistics.py).

    Args:
        clock: Measures delays.
        process: Unique to this process.
        seconds: The length of an interval; 0: none is ever sent.

    `refusals`: their number since the process began, by status.
    `durations`: 200s since the process began, by the first of BOUNDS_SECONDS that they did not exceed; the
    last counts those that exceeded all.
    `seconds`: the sum of these durations.
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
        """Begin an interval; everything counted before has been sent."""
        self._began_us = self._clock.now_us()
        self._began = self._clock.monotonic()
        self._durations_before = self.durations.copy()
        self._longest = 0.0
        self._refused_before = self.refusals.copy()

    def open_turn(self) -> None:
        """Called with the first webhook of a turn of the loop."""
        self._turn_began = self._monotonic()

    def close_turn(self, responses: int, *, is_durable: bool) -> None:
        """Count the turn's responses, which are sent together."""
        if not responses:
            return
        if is_durable:
            seconds = self._monotonic() - self._turn_began
            self.durations[0 if seconds <= FIRST_BOUND else bisect_left(BOUNDS_SECONDS, seconds)] += responses
            self.seconds += seconds * responses
            if seconds > self._longest:  # noqa: PLR1730  # the call of max would be a fifth of a turn's cost
                self._longest = seconds
        else:
            self.refusals[NOT_DURABLE] += responses

    def collect_due(self, expected_seconds: float) -> EdgeStatistics | None:
        """Return the counts if the interval is over; then `begin`, once they are on their way.

        Args:
            expected_seconds: Between two calls. If more time has passed, the loop was held up, and a request
                may have waited in the kernel.
        """
        now = self._clock.monotonic()
        self._longest = max(self._longest, now - self._looked_at - expected_seconds)
        self._looked_at = now
        return self.collect() if now - self._began >= self._seconds else None

    def collect(self) -> EdgeStatistics | None:
        """Return the interval's counts so far; None if there are none."""
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


class Refusals:
    """Counts refusals, and rate-limits their log lines, so that a flood cannot fill the disk."""

    def __init__(self, clock: Clock, counts: Counter[str]) -> None:
        self._clock = clock
        self._counts = counts
        self._second = -1
        self._lines: Counter[tuple[int, str]] = Counter()
        self._left_out: Counter[tuple[int, str]] = Counter()

    def record(self, response: Response, reason: str | None = None, **facts: object) -> Response:
        """Count a refusal, log it unless enough of its kind were logged in this second, and return it.

        Args:
            response: The response to the sender.
            reason: One of a limited number, since each is a kind of its own; None: the response's text.
            facts: Further fields of the line; identifiers and sizes.
        """
        self._counts[str(response.status)] += 1
        kind = response.status, reason or response.text
        second = int(self._clock.monotonic())
        if second != self._second:
            self._second = second
            self._lines.clear()
        self._lines[kind] += 1
        if self._lines[kind] > LINES_PER_SECOND:
            self._left_out[kind] += 1
            return response
        if left_out := self._left_out.pop(kind, 0):
            facts["left_out"] = left_out
        logger().warning("webhook_refused", status=kind[0], reason=kind[1], **facts)
        return response
