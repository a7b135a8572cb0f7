"""Do things at a chosen rate."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event

TICK_SECONDS: Final = 0.2
"""How soon a cancellation is noticed in a pause."""

rate_option = click.option(
    "--rate",
    type=click.FloatRange(0),
    default=100.0,
    show_default=True,
    help="Events per second; 0: as fast as it goes.",
)


class Pace:
    """Waits before each thing until its turn has come; what was late is not made up for by a burst.

    Args:
        rate: Things per second; 0 for as fast as it goes.
        idle: Called with the seconds to wait.
        cancelled: Ends the wait.
    """

    def __init__(self, rate: float, idle: Callable[[float], None], cancelled: Event) -> None:
        self._interval = 1.0 / rate if rate else 0.0
        self._idle = idle
        self._cancelled = cancelled
        self._due = time.monotonic()

    def wait(self) -> None:
        """Return when the next thing may be done, or when it is cancelled."""
        now = time.monotonic()
        self._due = max(self._due, now - TICK_SECONDS)
        while now < self._due and not self._cancelled.is_set():
            self._idle(min(self._due - now, TICK_SECONDS))
            now = time.monotonic()
        self._due += self._interval
