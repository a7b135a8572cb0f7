"""Name what becomes of a delivery, and count it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from messaging.envelope import RECONCILE, REPLAY, WEBHOOK
from messaging.errors import RejectedEventError
from workers.parsing import Arrival
from workers.tables.dead_letters import DeadLetter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from messaging.delivery import Delivery
    from workers.parsing import Event


SOURCES = frozenset({WEBHOOK, RECONCILE, REPLAY})


@dataclass(frozen=True, slots=True)
class Parsed:
    """A delivery whose body is an event, or several."""

    delivery: Delivery
    arrivals: tuple[Arrival, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """A delivery that becomes a dead letter."""

    delivery: Delivery
    dead_letter: DeadLetter


Outcome: TypeAlias = Parsed | Refused


@dataclass(slots=True)
class Tally:
    """What became of a batch, for its log line; deliveries are counted once, as they were committed."""

    deliveries: int = 0
    processed: int = 0
    skipped: int = 0
    duplicates: int = 0
    dead_lettered: int = 0

    def count(self, *, parsed: int, claimed: int, skipped: int, refused: int) -> None:
        """Count one committed transaction."""
        self.processed += claimed - skipped
        self.skipped += skipped
        self.duplicates += parsed - claimed
        self.dead_lettered += refused


def message_id_of(delivery: Delivery) -> str:
    """Return the accepted request's id, or the body's digest where another publisher gave none of use.

    A record of a dead letter must never be refused itself, so what cannot be stored is no id.
    """
    message_id = delivery.envelope.message_id
    if message_id and message_id.isprintable():
        return message_id
    return hashlib.sha256(delivery.envelope.body).hexdigest()


def source_of(delivery: Delivery) -> str:
    """Return where the event came from; what other publishers call themselves is not kept."""
    source = delivery.envelope.source
    return source if source in SOURCES else "other"


def arrivals_of(delivery: Delivery, events: Sequence[Event]) -> tuple[Arrival, ...]:
    """Say how the events of a delivery's body came in."""
    envelope = delivery.envelope
    message_id, source = message_id_of(delivery), source_of(delivery)
    body_sha256 = hashlib.sha256(envelope.body).hexdigest()
    return tuple(
        Arrival(event, message_id, envelope.received_at_us, source, body_sha256, envelope.body)
        for event in events
    )


def refuse(delivery: Delivery, error: Exception) -> Refused:
    """Make a dead letter of a delivery.

    Args:
        delivery: The one at fault.
        error: A RejectedEventError says itself what is wrong. Of any other only the type is told, since
            its text may quote the event.
    """
    if not isinstance(error, RejectedEventError):
        error = RejectedEventError("handler_failed", f"event: {type(error).__name__} was raised over it")
    envelope = delivery.envelope
    dead_letter = DeadLetter(
        message_id=message_id_of(delivery),
        code=error.code,
        reason=error.reason,
        body_sha256=hashlib.sha256(envelope.body).hexdigest(),
        source=source_of(delivery),
        received_at_us=envelope.received_at_us,
        attempt=delivery.attempt,
    )
    return Refused(delivery, dead_letter)
