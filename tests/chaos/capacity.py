"""Measure how many events a second a stand carries the whole way."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.chaos.behind import UNFINISHED
from tests.chaos.bounds import CATCHES_UP
from tests.stand.load import Load
from tests.stand.order import Order
from tests.stand.waiting import wait_until

if TYPE_CHECKING:
    from tests.chaos.stand import Stand

EVENTS = 4000
TOLD_EVENTS = 1500
"""Where each is also settled and delivered."""

COUNT = "SELECT count(*) FROM processed_events"


def measured_capacity(stand: Stand, run: str, events: int = 0) -> float:
    """Return how many events a second go from the webhook to the committed row, or to the service behind.

    Args:
        stand: Without load.
        run: A name that no other load on this stand has had.
        events: How many are sent for it; 0 for a number that takes some seconds.
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
