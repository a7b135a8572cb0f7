"""The clocks of tests: one that stands still, and the host's, moved."""

from messaging.clock import SystemClock


class FakeClock:
    """A clock that stands still until a test moves it.

    Args:
        seconds: The time of both its clocks.
    """

    def __init__(self, seconds=1_700_000_000.0):
        self.seconds = seconds

    def now_us(self):
        return round(self.seconds * 1_000_000)

    def monotonic(self):
        return self.seconds

    def wait(self, seconds):
        """Let the time pass, and a microsecond, so that no rounding falls short of it."""
        self.seconds += seconds + 0.000_001


class MovedClock(SystemClock):
    """The host's clocks, but its wall clock goes ahead, or behind if negative."""

    def __init__(self, ahead_us=0):
        self.ahead_us = ahead_us

    def now_us(self):
        return super().now_us() + self.ahead_us
