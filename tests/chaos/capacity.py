"""Measure how many events per second a stand can process from end to end."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.chaos.behind import UNFINISHED
from tests.chaos.bounds import CATCHES_UP
from tests.stand.load import Load
from tests.stand.order import Order
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.chaos.stand import Stand

EVENTS = 4000
TOLD_EVENTS = 1500
"""The number of events per measurement on a stand that also settles and delivers each event."""

COUNT = "SELECT count(*) FROM processed_events"
SHARE: Final = 0.5
MOST_SHARE: Final = 0.75
ALIKE: Final = 1.25
MOST_LOOKS: Final = 3


@dataclass(slots=True)
class Capacity:
    """How many events per second a kind of stand can process, as measured on its stands in one lane.

    Args:
        best: The highest capacity measured so far.
        lately: The highest capacity in the latest series of measurements.
    """

    best: float = 0.0
    lately: float = 0.0
    _loads: int = 0

    @property
    def rate(self) -> float:
        """The rate at which to send: half of the best capacity, but at most three quarters of the latest."""
        return min(SHARE * self.best, MOST_SHARE * self.lately)

    def look(self, stand: Stand) -> None:
        """Measure an idle stand's capacity until the measurements suffice. Other stands may be running."""
        found: list[float] = []
        while not is_enough(found, self.best):
            self._loads += 1
            found.append(measured_capacity(stand, f"capacity-{self._loads}"))
        self.lately = max(found)
        self.best = max(self.best, self.lately)


def is_enough(found: Sequence[float], best: float) -> bool:
    """Return whether enough measurements were taken. *found* lists them, oldest first.

    One measurement suffices if it reaches half of the best. A lower one might be caused by another stand
    that was starting its servers. In that case, two must agree to within a quarter, or three must be taken.
    """
    if not found:
        return False
    *earlier, last = found
    is_alike = any(max(each, last) <= ALIKE * min(each, last) for each in earlier)
    return is_alike or len(found) >= MOST_LOOKS or (best > 0 and last >= SHARE * best)


def measured_capacity(stand: Stand, run: str, events: int = 0) -> float:
    """Return how many events per second make it from the webhook to a committed row or to a destination.

    Args:
        stand: A stand without load.
        run: A name that no earlier load on this stand has used.
        events: How many events to send; 0: enough events for a few seconds.
    """
    load = Load(Order(stand.product.port, str(stand.directory / run), run=run))
    events = events or (TOLD_EVENTS if stand.behind else EVENTS)
    wanted = stand.ask(COUNT) + events

    def is_done() -> bool:
        return stand.ask(COUNT) >= wanted and not (stand.behind and stand.ask(UNFINISHED))

    try:
        started = time.monotonic()
        load.burst(events)
        wait_until(is_done, CATCHES_UP, "a burst is processed")
        return events / (time.monotonic() - started)
    finally:
        load.kill()
