"""Define the delivery that a consumer receives, and the result of processing a batch of deliveries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from pika.spec import BasicProperties

from messaging.envelope import Envelope, decode_properties, envelope_of, own_envelope
from messaging.topology import DEAD_LETTER_RECORDS

MAX_RETURNS: Final = 1_000_000
"""Cap on the count of returns: higher than any delivery limit, and small enough for an integer column."""

SUSPECT_FROM_COUNT: Final = 2
"""From this count on, an event is processed alone, because a redelivered event might have crashed its worker.
That costs little, whereas another crash would count as a return of every delivery that the worker holds."""


@dataclass(slots=True)
class Delivery:
    """An event as the broker delivers it. Treat it as immutable; freezing it would cost time per event.

    Args:
        tag: The delivery tag, which is unique within its channel.
        delivery_count: Which delivery of the event this is, from 1. The broker counts every return: after a
            rejection, a closed channel, a lost connection or a worker's exit.
        local_attempts: How many times this worker has processed the event since this delivery arrived.
        is_last_attempt: Whether the next failure is final, because too many deliveries await a retry.
        death_reason: Why the broker dead-lettered the event, e.g. "delivery_limit"; None if it did not.
    """

    tag: int
    queue: str
    delivery_count: int
    envelope: Envelope
    local_attempts: int = 0
    is_last_attempt: bool = False
    death_reason: str | None = None

    @property
    def is_suspect(self) -> bool:
        """Whether the event might have crashed a worker and so is processed alone; False for dead letters."""
        return self.delivery_count >= SUSPECT_FROM_COUNT and self.queue != DEAD_LETTER_RECORDS


@dataclass(frozen=True, slots=True)
class Settlement:
    """How to settle the deliveries of a batch; deliveries in neither field are acknowledged.

    *rejected*: tags to dead-letter. *retries*: tags to process again, each alone after its delay in seconds.
    """

    rejected: frozenset[int] = frozenset()
    retries: Mapping[int, float] = field(default_factory=dict)


class Processor(Protocol):
    """Processes batches. `Intake` (workers/intake) implements this protocol; tests use a recorder instead."""

    def process(self, batch: Sequence[Delivery]) -> Settlement:
        """Process a batch. All calls are made on the same thread.

        Return how to settle each delivery; when this returns, the effects of all but the retries are durable.
        Raise RetryLaterError to be called again with the same batch.
        """

    def prefetch(self, batch: Sequence[Delivery]) -> None:
        """Prepare the batch that will probably follow; called on the same thread, before `process`.

        `process` might never be called with this batch.
        """


def read_encoded_delivery(queue: str, tag: int, properties: bytes, body: bytes) -> Delivery:
    """Return the delivery with the given undecoded content properties and body."""
    envelope = own_envelope(properties, body)
    if envelope is None:
        return read_delivery(queue, tag, decode_properties(properties), body)
    # The broker adds a header to a returned event, so properties without it belong to a first delivery.
    return Delivery(tag, queue, 1, envelope)


def read_delivery(queue: str, tag: int, properties: BasicProperties, body: bytes) -> Delivery:
    """Return the delivery with the given body and the given properties, which pika has decoded."""
    headers = properties.headers or {}
    # A first delivery has no count of returns. Different broker versions count differently, so the number is
    # only a hint. Other publishers might have used the broker's header names for any value.
    returns = headers.get("x-delivery-count")
    reason = headers.get("x-first-death-reason")
    return Delivery(
        tag,
        queue,
        min(returns, MAX_RETURNS) + 1 if isinstance(returns, int) and returns > 0 else 1,
        envelope_of(properties, body),
        death_reason=reason if isinstance(reason, str) else None,
    )
