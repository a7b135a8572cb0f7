"""Leave room in the request budget for others, and wait for one's turn."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from workers.genesys.errors import PlatformUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from workers.genesys.budget import RequestBudget

PATIENCE_SECONDS: Final = 10.0
"""A turn that is further away is no turn: the platform has told everybody to wait."""


class PacedBudget:
    """A part of the shared budget, for work that is long and not urgent.

    Args:
        own: This work's part, for all who do it.
        shared: The budget of everybody.
        wait: Waits so many seconds.
    """

    def __init__(
        self, own: RequestBudget, shared: RequestBudget, wait: Callable[[float], None] = time.sleep
    ) -> None:
        self._own = own
        self._shared = shared
        self._wait = wait

    def take(self) -> None:
        """Take one request out of both; blocks for some seconds until it is our turn.

        Raises:
            PlatformUnavailableError: The platform has said to wait for longer.
            RetryLaterError: The database is away.
        """
        for budget in (self._own, self._shared):
            while (delay := self._delay_of(budget)) > 0:
                self._wait(delay)

    def pause(self, seconds: float) -> None:
        """Let no caller ask anything for so long: the platform has said so."""
        self._shared.pause(seconds)

    @staticmethod
    def _delay_of(budget: RequestBudget) -> float:
        """Return 0 where a request was taken, else the seconds until there is one."""
        try:
            budget.take()
        except PlatformUnavailableError as error:
            if error.delay > PATIENCE_SECONDS:
                raise
            return error.delay
        return 0.0
