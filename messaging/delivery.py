"""Name what a consumer receives, and what it promises about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from messaging.envelope import Envelope


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event as the broker hands it out.

    Args:
        tag: The delivery tag; it means nothing outside the channel that it came through.
        queue: The queue it came from.
        attempt: Which delivery of this event this is, from 1. The broker counts whatever came back: a
            rejection, a closed channel, a lost connection, a dead worker.
        envelope: The event.
    """

    tag: int
    queue: str
    attempt: int
    envelope: Envelope


class Prepared(Protocol):
    """What was made of one delivery, ready to be processed with others."""

    @property
    def delivery(self) -> Delivery:
        """The delivery it was made of."""


class Processor(Protocol):
    """What deliveries are for."""

    def prepare(self, delivery: Delivery) -> Prepared:
        """Do what needs nothing but the delivery; called on the loop, so it must not wait or raise."""

    def process(self, batch: Sequence[Any]) -> frozenset[int]:
        """Give a batch of what `prepare` returned its effect; called on a thread of its own, in order.

        Returns:
            The tags to dead-letter, all others are to be acknowledged. What is returned is durable.

        Raises:
            RetryLaterError: Call again with the same batch.
        """
