"""Tell, from outside, what one call for a batch is doing, and tell it that it was given up."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from messaging.errors import RetryLaterError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Progress:
    """What the call does, written by its thread and read by any."""

    def __init__(self) -> None:
        self.is_in_events = False
        self.is_abandoned = False

    @contextmanager
    def in_events(self) -> Iterator[None]:
        """Parse events or call handlers within: what takes time there is their doing.

        Within a handler's statement the next batch is read, hence the value before.
        """
        before, self.is_in_events = self.is_in_events, True
        try:
            yield
        finally:
            self.is_in_events = before

    def begin(self) -> None:
        """Go no further once the call was given up: others do its work.

        Raises:
            RetryLaterError: It was.
        """
        if self.is_abandoned:
            raise RetryLaterError("abandoned")
