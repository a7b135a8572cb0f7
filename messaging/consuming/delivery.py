"""Name what a consumer receives, and what it promises about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from messaging.envelope import decode_properties, envelope_of, own_envelope
from messaging.topology import DEAD_LETTER_RECORDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pika.spec import BasicProperties

    from messaging.envelope import Envelope


MAX_RETURNS: Final = 1_000_000
"""Above any delivery limit, and well within a column of the database."""


SUSPECT_FROM_ATTEMPT: Final = 2
"""Attempt 1 is in a batch. What comes back was perhaps there when its worker ended: a moment alone is cheap,
and each further death would count for all that a worker holds."""


@dataclass(slots=True)
class Delivery:
    """One event as the broker hands it out; not to be changed (decision 182).

    Args:
        tag: The delivery tag; it means nothing outside the channel that it came through.
        queue: The queue it came from.
        attempt: Which delivery of this event this is, from 1. The broker counts whatever came back: a
            rejection, a closed channel, a lost connection, a dead worker.
        envelope: The event.
        tries: How often it was put off, since this delivery came.
        is_last_try: Whether it is given up if it fails again: too many others wait for another try.
        hangs: In how many batches it was that outlasted their time; after the first it is alone in its own.
        death: Why the broker dead-lettered it, such as "delivery_limit"; None of a living one.
    """

    tag: int
    queue: str
    attempt: int
    envelope: Envelope
    tries: int = 0
    hangs: int = 0
    death: str | None = None
    is_last_try: bool = False

    @property
    def is_suspect(self) -> bool:
        """Whether it may have ended a worker, and is tried alone; of a dead letter nothing is tried."""
        return self.attempt >= SUSPECT_FROM_ATTEMPT and self.queue != DEAD_LETTER_RECORDS


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a batch's deliveries; those in neither are to be acknowledged.

    Args:
        rejected: The tags to dead-letter.
        put_off: The tags to process again, each alone, and after how many seconds.
    """

    rejected: frozenset[int] = frozenset()
    put_off: Mapping[int, float] = field(default_factory=dict)


class Processor(Protocol):
    """What deliveries are for."""

    def process(self, batch: Sequence[Delivery]) -> Verdict:
        """Give a batch its effect; called on a thread of its own, batch after batch.

        Returns:
            What becomes of each delivery. It is durable, but for what is put off.

        Raises:
            RetryLaterError: Call again with the same batch.
        """

    def expect(self, batch: Sequence[Delivery]) -> None:
        """Take note of the batch after the one that `process` is given next; called on the same thread.

        It is in good time to prepare for it; `process` may never be called with it.
        """

    def abandon(self) -> bool:
        """Give up the call of `process` that takes too long or whose connection is gone.

        Called on another thread than its own; does not block. `process` may be called on a new thread
        from now on, whether the abandoned call ever returns or not.

        Returns:
            Whether the deliveries are at fault; otherwise it is what `process` waits for.
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
    headers = properties.headers or {}
    # Absent at the first delivery. Brokers count differently, so only "often" is read of it. Another
    # publisher may have written anything under the broker's names.
    returns = headers.get("x-delivery-count")
    death = headers.get("x-first-death-reason")
    return Delivery(
        tag,
        queue,
        min(returns, MAX_RETURNS) + 1 if isinstance(returns, int) and returns > 0 else 1,
        envelope_of(properties, body),
        death=death if isinstance(death, str) else None,
    )
