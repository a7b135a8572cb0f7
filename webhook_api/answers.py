"""Count this process's responses, measure how long they take, and log a sample of the refusals."""

from bisect import bisect_left
from collections import Counter
from typing import Any, Final

from messaging.clock import Clock
from messaging.log import logger
from webhook_api.http import Response

BOUNDS_SECONDS: Final = (0.01, 0.1, 1.0, 3.0, 10.0)
"""Bounds of the histogram: 0.01 s is our promise, 3 s the guide's limit, and 10 s the platform's timeout."""

FIRST_BOUND: Final = BOUNDS_SECONDS[0]

NOT_DURABLE: Final = "503"
"""Status, as text, of the response to an event that the journal failed to write."""

LONGEST_SECONDS: Final = 60.0
"""The reported longest delay covers one to two periods of this length; om-observe records it every minute."""

LINES_PER_SECOND: Final = 5
"""Limit on log lines per second for each kind of refusal; a few are enough to show that it repeats."""


class Answers:
    """Counts responses since the process started; the metrics report these counts.

    `refusals` counts refusals by status. `durations` counts accepted webhooks by the smallest of
    BOUNDS_SECONDS within which each got a 200; the last element counts others. `seconds` is the total time.
    """

    def __init__(self, clock: Clock) -> None:
        self._monotonic = clock.monotonic
        self._turn_began = self._ticked_at = self._longest_since = clock.monotonic()
        self._longest = self._longest_before = 0.0
        self._second = -1
        self._lines: Counter[tuple[int, str]] = Counter()
        self._left_out: Counter[tuple[int, str]] = Counter()
        self.refusals: Counter[str] = Counter()
        self.durations = [0] * (len(BOUNDS_SECONDS) + 1)
        self.seconds = 0.0

    def open_turn(self) -> None:
        """Called when the first webhook of a turn of the loop arrives."""
        self._turn_began = self._monotonic()

    def close_turn(self, responses: int, *, is_durable: bool) -> None:
        """Count the turn's responses, which are sent together."""
        if not responses:
            return
        if is_durable:
            seconds = self._monotonic() - self._turn_began
            self.durations[0 if seconds <= FIRST_BOUND else bisect_left(BOUNDS_SECONDS, seconds)] += responses
            self.seconds += seconds * responses
            if seconds > self._longest:  # noqa: PLR1730  # calling max would take a fifth of a turn's time
                self._longest = seconds
        else:
            self.refusals[NOT_DURABLE] += responses

    def tick(self, expected_seconds: float) -> None:
        """Measure the loop's delay, during which all requests waited. Called every *expected_seconds*."""
        now = self._monotonic()
        self._longest = max(self._longest, now - self._ticked_at - expected_seconds)
        self._ticked_at = now
        if now - self._longest_since >= LONGEST_SECONDS:
            self._longest_since, self._longest_before, self._longest = now, self._longest, 0.0

    def status(self) -> dict[str, Any]:
        """Return the counts and the longest delay of the last one to two minutes, for health reports."""
        return {
            "refused": dict(self.refusals),
            "durations": self.durations,
            "seconds": self.seconds,
            "longest_s": max(self._longest, self._longest_before),
        }

    def refuse(self, response: Response, reason: str | None = None, **facts: object) -> Response:
        """Count a refusal, log it unless its kind has reached this second's limit, and return *response*.

        *reason* must come from a small fixed set, because each reason is counted separately. If it is None,
        the response's text is used. *facts* are additional fields of the log line: identifiers and sizes.
        """
        self.refusals[str(response.status)] += 1
        kind = response.status, reason or response.text
        second = int(self._monotonic())
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
