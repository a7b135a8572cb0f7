"""Read the clocks: the wall clock for stored times, the monotonic clock for intervals."""

import time
from typing import Protocol


class Clock(Protocol):
    """Both clocks; tests pass a fake one."""

    def now_us(self) -> int:
        """Return microseconds since the epoch, UTC. May step back and forth with the host's clock."""
        ...

    def monotonic(self) -> float:
        """Return seconds since some fixed moment. Never steps; for intervals only."""
        ...


class SystemClock:
    """The host's clocks."""

    def now_us(self) -> int:
        """Return microseconds since the epoch, UTC."""
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        """Return seconds since the host started."""
        return time.monotonic()
