"""Provide clocks for tests: one that stands still, and the host's clock with an offset."""

from messaging.clock import SystemClock


class FakeClock:
    """A clock that stands still until a test moves it."""

    def __init__(self, seconds=1_700_000_000.0):
        self.us = round(seconds * 1_000_000)

    @property
    def seconds(self):
        return self.us / 1_000_000

    @seconds.setter
    def seconds(self, seconds):
        self.us = round(seconds * 1_000_000)

    def now_us(self):
        return self.us

    def monotonic(self):
        return self.seconds

    def wait(self, seconds):
        """Let *seconds* and one more microsecond pass, so that rounding never makes the wait too short."""
        self.us += round(seconds * 1_000_000) + 1


class MovedClock(SystemClock):
    """The host's clocks, but with the wall clock *ahead_us* ahead, or behind if *ahead_us* is negative."""

    def __init__(self, ahead_us=0):
        self.ahead_us = ahead_us

    def now_us(self):
        return super().now_us() + self.ahead_us
