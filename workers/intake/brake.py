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
        self.is_on = False

    def note(self, *, lived: int, died: int) -> bool:
        """Take note of what became of a batch's events.

        Returns:
            Whether it goes on with this.
        """
        self._died.extend([False] * lived + [True] * died)
        was_on = self.is_on
        if self._share < OFF and len(self._died) == self._died.maxlen:
            self.is_on = sum(self._died) >= self._share * len(self._died)
        return self.is_on and not was_on

    def release(self) -> None:
        """Let everything through; it is judged anew by what comes now."""
        self._died.clear()
        self.is_on = False
