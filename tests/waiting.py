"""Wait for something to become true, in bounded time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Found = TypeVar("Found")

LOOK_SECONDS: Final = 0.05
PATIENCE_SECONDS: Final = 30.0
"""What a busy machine may need."""


def wait_until(
    is_true: Callable[[], Found], seconds: float = PATIENCE_SECONDS, words: str = "it did not come to pass"
) -> Found:
    """Block until *is_true* returns something true, and return that.

    Raises:
        AssertionError: It did not within *seconds*; *words* say what was waited for.
    """
    deadline = time.monotonic() + seconds
    while not (found := is_true()):
        assert time.monotonic() < deadline, f"waited {seconds:g} s in vain: {words}"
        time.sleep(LOOK_SECONDS)
    return found
