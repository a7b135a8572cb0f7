"""Say when a conversation's window closes: some seconds after its newest event, some more after its first.

Our clock counts and not the platform's: after an outage a conversation's backlog comes in one burst, and
shall be settled as one.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WindowBounds:
    """How long a window is open, in microseconds.

    Args:
        quiet_us: After its newest event: the guide's "sliding window of two seconds".
        limit_us: After its first one, so that a conversation that never pauses is settled nevertheless.
    """

    quiet_us: int = 2_000_000
    limit_us: int = 10_000_000


@dataclass(frozen=True, slots=True)
class Window:
    """The bounds of a window that is opened at one moment; microseconds since the epoch, our clock.

    Args:
        opened_at_us: The first event.
        closes_at_us: When it may be settled unless another event comes.
        limit_at_us: When it may be settled whatever comes.
    """

    opened_at_us: int
    closes_at_us: int
    limit_at_us: int


def window_opened(at_us: int, bounds: WindowBounds) -> Window:
    """Return the window of a conversation whose first event comes at *at_us*."""
    return Window(at_us, at_us + bounds.quiet_us, at_us + bounds.limit_us)
