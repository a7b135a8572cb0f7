"""Wait for something to become true, in bounded time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

LOOK_SECONDS = 0.1


def wait_until(is_true: Callable[[], object], seconds: float, words: str) -> None:
    """Block until *is_true* returns something true.

    Raises:
        AssertionError: It did not within *seconds*; *words* say what was waited for.
    """
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, f"waited {seconds:g} s in vain: {words}"
        time.sleep(LOOK_SECONDS)
