"""Say when a conversation's window closes: two seconds after its newest event, ten after its first.

Our clock counts and not the platform's: after an outage a conversation's backlog comes in one burst, and
shall be settled as one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from workers.parsing.events import CONVERSATION_MESSAGE, CONVERSATION_NEW, CONVERSATION_UPDATED

QUIET_US: Final = 2_000_000
"""The guide's sliding window: "buffer messages within a sliding window of two seconds"."""

LIMIT_US: Final = 10_000_000
"""A conversation that never pauses is settled nevertheless."""

WINDOWED: Final = frozenset({CONVERSATION_NEW, CONVERSATION_MESSAGE, CONVERSATION_UPDATED})
"""The types that open a window or keep it open; receipts and typing change nothing that is settled."""


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


def window_opened(at_us: int) -> Window:
    """Return the window of a conversation whose first event comes at *at_us*."""
    return Window(at_us, at_us + QUIET_US, at_us + LIMIT_US)
