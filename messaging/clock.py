"""Read the clocks, and choose the delay before the next attempt."""

import random
import time
from typing import Final, Protocol

CAP_SECONDS: Final = 5.0
"""Longest default delay. It spares a broker that is starting; a journal holds far more than 5 s of events."""


class Clock(Protocol):
    """Provides the wall clock for stored times and the monotonic clock for intervals; tests pass a fake."""

    def now_us(self) -> int:
        """Return the time in microseconds since the epoch, UTC. It jumps if the host's clock is set."""

    def monotonic(self) -> float:
        """Return the time in seconds since a fixed moment. It never jumps."""


class SystemClock:
    """Provides the host's own clocks."""

    def now_us(self) -> int:
        """Return the time in microseconds since the epoch, UTC."""
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        """Return the time in seconds since the host started."""
        return time.monotonic()


def delay_before(attempt: int, *, first_seconds: float = 0.2, cap_seconds: float = CAP_SECONDS) -> float:
    """Return how many seconds to wait before *attempt*, which counts from 1; attempt 1 does not wait.

    The delay is random: at most *first_seconds* before attempt 2, doubling each time up to *cap_seconds*.

    Source: "Exponential Backoff And Jitter", AWS Architecture Blog.
    """
    if attempt <= 1:
        return 0.0
    ceiling = min(cap_seconds, first_seconds * 2 ** min(attempt - 2, 16))
    return random.uniform(ceiling / 4, ceiling)  # noqa: S311  # only spreads retries
