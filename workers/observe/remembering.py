"""Give everybody who asks within a few seconds the same answer."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

REMEMBERED_SECONDS: Final = 4.0
"""Below the page's own refresh: however many pages are open, the database is asked once in between."""

Answer = TypeVar("Answer")


class Remembered(Generic[Answer]):
    """An answer that is dear to find: found by one thread at a time, and good for a while.

    Args:
        find: Finds it; blocks.
        seconds: For how long it is good.
    """

    def __init__(self, find: Callable[[], Answer], seconds: float) -> None:
        self._find = find
        self._seconds = seconds
        self._lock = threading.Lock()
        self._found: tuple[float, Answer] | None = None

    def read(self) -> Answer:
        """Return the answer, at most so old."""
        with self._lock:
            if self._found is None or time.monotonic() - self._found[0] > self._seconds:
                answer = self._find()
                self._found = (time.monotonic(), answer)
            return self._found[1]
