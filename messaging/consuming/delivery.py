"""A message that a consumer receives, and the outcome of processing a batch of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from pika.spec import BasicProperties

from messaging.envelope import Envelope, decode_properties, envelope_of, own_envelope
from messaging.topology import DEAD_LETTER_RECORDS

MAX_RETURNS: Final = 1_000_000
"""Higher than any delivery limit, and small enough for an integer column."""

SUSPECT_FROM_COUNT: Final = 2
"""A first delivery is processed in a batch. A redelivered event may have crashed its worker. Processing it
alone costs little, whereas each crash counts as a return of all deliveries that a worker holds."""


@dataclass(slots=True)
class Delivery:
    """One event as the broker delivers it. Treat it as immutable: freezing it costs time for each event.

    Args:
        tag: The delivery tag; unique within its channel.
        delivery_count: Counts from 1. The broker counts each return: after a rejection, a closed channel, a
            lost connection or the exit of a worker.
        local_attempts: How often it was processed since this delivery arrived.
        is_last_attempt: Whether it is given up if it fails again, because too many others wait for a retry.
        death_reason: Why the broker dead-lettered it, such as "delivery_limit"; None if it did not.
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
        """Whether it may have crashed a worker and is processed alone; dead letters are only recorded."""
        return self.delivery_count >= SUSPECT_FROM_COUNT and self.queue != DEAD_LETTER_RECORDS


@dataclass(frozen=True, slots=True)
class Settlement:
    """How to settle a batch; deliveries that it does not mention are acknowledged.

    *rejected*: tags to dead-letter. *retries*: tags to process again, each alone, with the delay in seconds.
    """

    rejected: frozenset[int] = frozenset()
    retries: Mapping[int, float] = field(default_factory=dict)


class Processor(Protocol):
    """Processes batches; intake in the workers, a recorder in tests."""

    def process(self, batch: Sequence[Delivery]) -> Settlement:
        """Process a batch; called on one thread, batch after batch.

        Return how to settle each delivery: everything but the retries is durable. Raise RetryLaterError to be
        called again with the same batch.
        """

    def prefetch(self, batch: Sequence[Delivery]) -> None:
        """Called on the same thread before `process`, with the batch that will probably follow.

        The processor may prepare it. `process` may never be called with it.
        """


def read_encoded_delivery(queue: str, tag: int, properties: bytes, body: bytes) -> Delivery:
    """Make a delivery from undecoded content properties."""
    envelope = own_envelope(properties, body)
    if envelope is None:
        return read_delivery(queue, tag, decode_properties(properties), body)
    # The broker adds a header to a returned event, so these properties belong to a first delivery.
    return Delivery(tag, queue, 1, envelope)


def read_delivery(queue: str, tag: int, properties: BasicProperties, body: bytes) -> Delivery:
    """Make a delivery from properties that pika has decoded."""
    headers = properties.headers or {}
    # Absent at the first delivery. Brokers count differently, so the number is only a hint; other publishers
    # may have written anything under the broker's names.
    returns = headers.get("x-delivery-count")
    reason = headers.get("x-first-death-reason")
    return Delivery(
        tag,
        queue,
        min(returns, MAX_RETURNS) + 1 if isinstance(returns, int) and returns > 0 else 1,
        envelope_of(properties, body),
        death_reason=reason if isinstance(reason, str) else None,
    )
