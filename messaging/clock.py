"""Read the clocks, and choose how long to wait before the next attempt."""

import random
import time
from typing import Final, Protocol

FIRST_SECONDS: Final = 0.2
CAP_SECONDS: Final = 5.0
"""The longest delay: it does not load a broker that is starting, and the journal easily holds its events."""


class Clock(Protocol):
    """The wall clock for stored times, the monotonic clock for intervals; tests pass a fake one."""

    def now_us(self) -> int:
        """Return microseconds since the epoch, UTC. May step back and forth with the host's clock."""
        ...

    def monotonic(self) -> float:
        """Return seconds since some fixed moment. Never steps."""
        ...


class SystemClock:
    """The host's clocks."""

    def now_us(self) -> int:
        """Return microseconds since the epoch, UTC."""
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        """Return seconds since the host started."""
        return time.monotonic()


def delay_before(
    attempt: int, *, first_seconds: float = FIRST_SECONDS, cap_seconds: float = CAP_SECONDS
) -> float:
    """Return the seconds to wait before *attempt*, which counts from 1; the first attempt does not wait.

    The ceiling doubles with each attempt, from *first_seconds* before the second up to *cap_seconds*.

    Source:
        "Exponential Backoff And Jitter", AWS Architecture Blog.
    """
    if attempt <= 1:
        return 0.0
    ceiling = min(cap_seconds, first_seconds * 2 ** min(attempt - 2, 16))
    return random.uniform(ceiling / 4, ceiling)  # noqa: S311  # spreads clients out, guards nothing
