"""Hold an answer back until it may leave."""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook_api.http import response

if TYPE_CHECKING:
    from collections.abc import Callable

    from webhook_api.answer import Answer


class HeldAnswer:
    """An answer that waits for its leave, or behind one that does; called when that is decided.

    Args:
        release: Called when it may leave.
        data: The whole response.
        otherwise: What is answered in its place when it may not.
        keep_alive: What the response says of the connection.

    `may_leave`: whether it is decided.
    """

    __slots__ = ("_otherwise", "_release", "data", "keep_alive", "may_leave")

    def __init__(
        self,
        release: Callable[[], None],
        data: bytes,
        otherwise: Answer,
        keep_alive: bool,  # noqa: FBT001  # a keyword argument costs time at each request
    ) -> None:
        self._release = release
        self._otherwise = otherwise
        self.data = data
        self.keep_alive = keep_alive
        self.may_leave = False

    def __call__(self, may_leave: bool) -> None:  # noqa: FBT001  # a callback's one argument
        """Let it go, or the other in its place."""
        if not may_leave:
            self.data = response.render(self._otherwise, keep_alive=self.keep_alive)
        self.may_leave = True
        self._release()
