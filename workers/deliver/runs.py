"""Describe deliveries of a conversation that are being sent, and the attempts at them."""

import threading
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from workers.deliver.destinations import Destination
from workers.deliver.leasing import MIN_RUN_EVENTS, LeasedDelivery
from workers.deliver.outcome import HttpResult, Outcome

FINAL: Final = frozenset({Outcome.DELIVERED, Outcome.REFUSED, Outcome.EXHAUSTED})
"""After these outcomes the conversation's next event has its turn."""


@dataclass(frozen=True, slots=True)
class DeliveryAttempt:
    """One attempt, or the end of a run before it.

    Args:
        result: None if it was not sent, so that its lease is given back.
        attempts: How many have failed, with this one.
        at_us: When it ended, the database's clock.
        rest: Outbox ids of this delivery and, if it is to be retried, of those that follow it in the run.
        is_last: Whether the run ends with it.
    """

    destination: Destination
    delivery: LeasedDelivery
    result: HttpResult | None
    outcome: Outcome
    attempts: int
    at_us: int
    rest: tuple[int, ...]
    is_last: bool
    took_us: int = 0

    @property
    def key(self) -> tuple[int, str]:
        """Outbox id and destination."""
        return self.delivery.message.outbox_id, self.destination.name


class Run:
    """Deliveries of one conversation that are sent one after the other; more may be added until it ends."""

    def __init__(self, deliveries: Sequence[LeasedDelivery], *, is_probe: bool) -> None:
        self.deliveries = deque(deliveries)
        self.last = deliveries[-1]
        self.is_probe = is_probe
        self.is_ended = False
        self.may_grow = len(deliveries) >= MIN_RUN_EVENTS
        self._lock = threading.Lock()

    def overlaps(self, deliveries: Sequence[LeasedDelivery]) -> bool:
        """Return whether any of these is still in this run."""
        with self._lock:
            return not set(outbox_ids(self.deliveries)).isdisjoint(outbox_ids(deliveries))

    def add(self, deliveries: Sequence[LeasedDelivery]) -> bool:
        """Add deliveries that follow; return False if it has ended."""
        with self._lock:
            if not self.is_ended:
                self.deliveries.extend(deliveries)
                self.last, self.may_grow = deliveries[-1], True
            return not self.is_ended

    def advance(self) -> tuple[int, ...]:
        """Go on with the next delivery; return the outbox id of the one that has come to its end."""
        with self._lock:
            delivery = self.deliveries.popleft()
            self.is_ended = not self.deliveries
            return outbox_ids([delivery])

    def end(self) -> list[LeasedDelivery]:
        """End it, and return the deliveries that are left."""
        with self._lock:
            self.is_ended = True
            return list(self.deliveries)


def outbox_ids(run: Iterable[LeasedDelivery]) -> tuple[int, ...]:
    """Return the ids of deliveries, in their order."""
    return tuple(delivery.message.outbox_id for delivery in run)
