"""Name what a consumer receives, and what it promises about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from messaging.envelope import decode_properties, envelope_of, own_envelope

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pika.spec import BasicProperties

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


class Processor(Protocol):
    """What deliveries are for."""

    def process(self, batch: Sequence[Delivery]) -> frozenset[int]:
        """Give a batch its effect; called on a thread of its own, batch after batch.

        Returns:
            The tags to dead-letter, all others are to be acknowledged. What is returned is durable.

        Raises:
            RetryLaterError: Call again with the same batch.
        """


def encoded_delivery(queue: str, tag: int, properties: bytes, body: bytes) -> Delivery:
    """Make a delivery of content properties as they came over the wire."""
    envelope = own_envelope(properties, body)
    if envelope is None:
        return decoded_delivery(queue, tag, decode_properties(properties), body)
    # The broker notes in the headers when an event has come back; it has touched none of these.
    return Delivery(tag, queue, 1, envelope)


def decoded_delivery(queue: str, tag: int, properties: BasicProperties, body: bytes) -> Delivery:
    """Make a delivery of what pika has read."""
    headers = properties.headers
    # Absent at the first delivery. Brokers count differently, so only "often" is read of it.
    returns = headers.get("x-delivery-count", 0) if headers else 0
    return Delivery(tag, queue, returns + 1, envelope_of(properties, body))
