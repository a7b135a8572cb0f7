"""Notice that nearly everything is being dead-lettered: a broken deployment, a new platform version."""

from __future__ import annotations

from collections import deque
from typing import Final

RECENT_EVENTS: Final = 300
"""Of so many events it is judged: more than one sender's mistake makes at once."""

PROBE_SECONDS: Final = 5.0
"""Between two probes; a mended deployment is noticed within so long and its backoff."""

OFF: Final = 1.0


class Brake:
    """Says when to stop, by what became of the last events.

    Args:
        share: Of the last events, the share that must have been dead-lettered; OFF: it never stops anything.
        recent: How many events are judged.
    """

    def __init__(self, share: float, recent: int = RECENT_EVENTS) -> None:
        self._share = share
        self._died: deque[bool] = deque(maxlen=recent)
        self._released_until_us = 0
        self.braked_us: int | None = None

    @property
    def is_on(self) -> bool:
        """Return whether events are to be held."""
        return self.braked_us is not None

    @property
    def judged(self) -> int:
        """Return how many events it is judged by."""
        return len(self._died)

    @property
    def died(self) -> int:
        """Return how many of those died."""
        return sum(self._died)

    def note(self, *, lived: int, died: int, now_us: int) -> bool:
        """Take note of what became of a batch's events.

        Returns:
            Whether it goes on with this.
        """
        self._died.extend([False] * lived + [True] * died)
        if self.is_on or not self._must_stop(now_us):
            return False
        self.braked_us = now_us
        return True

    def release(self, until_us: int = 0) -> None:
        """Let everything through; it is judged anew by what comes now.

        Args:
            until_us: Microseconds since the epoch; not before then does it stop anything again.
        """
        self._died.clear()
        self._released_until_us = until_us
        self.braked_us = None

    def _must_stop(self, now_us: int) -> bool:
        if self._share >= OFF or now_us < self._released_until_us or self.judged < (self._died.maxlen or 0):
            return False
        return self.died >= self._share * self.judged
