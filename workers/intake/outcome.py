"""Name what becomes of a delivery, and count it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from messaging.delivery import Verdict
from messaging.envelope import RECONCILE, REPLAY, WEBHOOK
from workers.parsing import Arrival
from workers.tables import DeadLetter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from messaging.delivery import Delivery
    from workers.intake.dispatch import Dispatched
    from workers.intake.failure import Failure
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


@dataclass(frozen=True, slots=True)
class PutOff:
    """A delivery that is tried again, alone.

    Args:
        delivery: The one at fault.
        failure: Of its last try.
        pause: Seconds until the next.
    """

    delivery: Delivery
    failure: Failure
    pause: float


Outcome: TypeAlias = Parsed | Refused


@dataclass(frozen=True, slots=True)
class Committed:
    """What one transaction made of its deliveries.

    Args:
        parsed: Events of theirs.
        dispatched: What became of those.
        refused: Deliveries to dead-letter.
        recorded: Message ids of dead letters that had no record before.
    """

    parsed: int
    dispatched: Dispatched
    refused: Sequence[Refused]
    recorded: frozenset[str]


@dataclass(slots=True)
class Results:
    """What has become of a batch so far; deliveries are counted once, as they were committed."""

    refused: list[Refused] = field(default_factory=list)
    recorded: list[Refused] = field(default_factory=list)
    put_off: list[PutOff] = field(default_factory=list)
    processed: int = 0
    skipped: int = 0
    duplicates: int = 0
    conflicts: int = 0

    def add(self, committed: Committed) -> None:
        """Count one transaction. A dead letter that comes by again was counted when it was recorded."""
        dispatched = committed.dispatched
        self.refused += committed.refused
        self.recorded += [
            each for each in committed.refused if each.dead_letter.message_id in committed.recorded
        ]
        self.processed += len(dispatched.new) - len(dispatched.skips)
        self.skipped += len(dispatched.skips)
        self.duplicates += committed.parsed - len(dispatched.new) - dispatched.conflicts
        self.conflicts += dispatched.conflicts

    def verdict(self) -> Verdict:
        """Return what is to become of the deliveries."""
        return Verdict(
            frozenset(each.delivery.tag for each in self.refused),
            {each.delivery.tag: each.pause for each in self.put_off},
        )


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
        [
            Arrival(event, message_id, envelope.received_at_us, source, body_sha256, envelope.body)
            for event in events
        ]
    )


def refuse(delivery: Delivery, failure: Failure) -> Refused:
    """Make a dead letter of a delivery."""
    envelope = delivery.envelope
    tries = f" ({delivery.tries + 1} attempts)" if delivery.tries else ""
    dead_letter = DeadLetter(
        message_id=message_id_of(delivery),
        code=failure.code,
        reason=failure.reason + tries,
        body_sha256=hashlib.sha256(envelope.body).hexdigest(),
        source=source_of(delivery),
        received_at_us=envelope.received_at_us,
        attempt=delivery.attempt,
    )
    return Refused(delivery, dead_letter)
