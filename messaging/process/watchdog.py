"""End the process when its loop no longer turns, so that its supervisor starts it again.

A thread that holds the interpreter, in a regular expression without end or a C library, stops the loop and
every signal handler written in Python with it. The standard library's watchdog is a thread in C.
"""

from __future__ import annotations

import faulthandler
import time
from typing import Final

FEEDS: Final = 10
"""How many feedings there are in its patience: each starts its thread anew."""


class Watchdog:
    """Waits for a loop that does not turn.

    Args:
        patience_seconds: After so long without being fed it writes where every thread stands to standard
            error, file, line and function, no value, and ends the process with status 1.
    """

    def __init__(self, patience_seconds: float) -> None:
        self._patience_seconds = patience_seconds
        self._fed_at: float | None = None

    def feed(self) -> None:
        """Tell that the loop turns; cheap enough for every turn."""
        now = time.monotonic()
        if self._fed_at is None or now - self._fed_at > self._patience_seconds / FEEDS:
            self._fed_at = now
            faulthandler.dump_traceback_later(self._patience_seconds, exit=True)

    def stop(self) -> None:
        """Wait no longer."""
        faulthandler.cancel_dump_traceback_later()
