"""Compare once, and see what was found."""

from messaging.clock import SystemClock

HOUR_US = 3_600_000_000


class MovableClock(SystemClock):
    """The host's clock, moved by the test."""

    def __init__(self):
        self.ahead_us = 0

    def now_us(self):
        return super().now_us() + self.ahead_us


def run(reconciler):
    """Take steps until nothing is to do."""
    steps = 0
    while reconciler.reconcile():
        steps += 1
    return steps


GAPS = "SELECT platform_message_id, event_type, became FROM reconciliation_gaps_v1 ORDER BY 1, 2"
