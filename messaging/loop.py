"""Provide the event loop that carries HTTP connections, the broker's connection and timers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pika.adapters.select_connection import IOLoop

if TYPE_CHECKING:
    from collections.abc import Callable

READ: int = IOLoop.READ
WRITE: int = IOLoop.WRITE


class Loop(IOLoop):  # type: ignore[misc]  # pika ships no py.typed
    """pika's loop, with a moment after each turn for what all its events share.

    Make it after the fork: an epoll descriptor must not be shared.
    """

    def __init__(self) -> None:
        super().__init__()
        self._end_of_turn: list[Callable[[], None]] = []

    def at_end_of_turn(self, callback: Callable[[], None]) -> None:
        """Call *callback* once, after all events of this turn have been handled."""
        self._end_of_turn.append(callback)

    def process_timeouts(self) -> None:
        """Run the timers that are due, as pika's loop does after each poll, then the turn's end."""
        super().process_timeouts()
        if self._end_of_turn:
            callbacks, self._end_of_turn = self._end_of_turn, []
            for callback in callbacks:
                callback()
