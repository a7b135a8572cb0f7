"""A clock for tests."""


class MovedClock:
    """A clock that a test moves."""

    def __init__(self):
        self.seconds = 1_700_000_000.0

    def now_us(self):
        return round(self.seconds * 1_000_000)

    def monotonic(self):
        return self.seconds
