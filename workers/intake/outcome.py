"""Name what becomes of a delivery, and count it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias

from messaging.consuming import Verdict
from messaging.envelope import INGEST, OTHER, RECONCILE, REPLAY, REQUEST_ID_LENGTH, WEBHOOK, generation_of
from workers.db.ingest import DeadLetter, minimal, storable
from workers.parsing import Arrival, content_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from messaging.consuming import Delivery
    from messaging.edge_statistics import EdgeStatistics
    from messaging.envelope import Envelope
    from workers.intake.dispatch import Dispatched
    from workers.intake.failure import Failure
    from workers.parsing import Drift, Event


SOURCES = frozenset({WEBHOOK, RECONCILE, REPLAY, INGEST})


@dataclass(slots=True)
class Parsed:
    """A delivery whose body is an event, or several; not to be changed (decision 182).

    Args:
        delivery: It is acknowledged once its effect is committed.
        arrivals: The events; none where it is what an edge process tells of its answers.
        told: What it tells then; None where that cannot be read.
    """

    delivery: Delivery
    arrivals: tuple[Arrival, ...]
    told: EdgeStatistics | None = None


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
        news: What was never on record before of what this version does not know.
        unstored: Events that were counted, and no more.
    """

    parsed: int
    dispatched: Dispatched
    refused: Sequence[Refused]
    recorded: frozenset[str]
    news: Sequence[Drift]
    unstored: int = 0


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
    unstored: int = 0
    untold: int = 0
    """Bodies of which the filter could not tell whether they are wanted; they were taken in."""

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
        self.unstored += committed.unstored

    def verdict(self) -> Verdict:
        """Return what is to become of the deliveries."""
        return Verdict(
            frozenset(each.delivery.tag for each in self.refused),
            {each.delivery.tag: each.pause for each in self.put_off},
        )


def message_id_of(delivery: Delivery) -> str:
    """Return what the records call a delivery."""
    return delivery.envelope.identity


def source_of(delivery: Delivery) -> str:
    """Return where the event came from; what other publishers call themselves is not kept."""
    source = delivery.envelope.source.partition(":")[0]
    return source if source in SOURCES else OTHER


def arrivals_of(delivery: Delivery, events: Sequence[Event]) -> tuple[Arrival, ...]:
    """Say how the events of a delivery's body came in."""
    envelope = delivery.envelope
    message_id, source = message_id_of(delivery), source_of(delivery)
    body_sha256 = hashlib.sha256(envelope.body).hexdigest()
    generation = generation_of(envelope.source)
    request_id, received_at_us, body = _request_id_of(envelope), envelope.received_at_us, envelope.body
    return tuple(
        [
            Arrival(event, message_id, received_at_us, source, body_sha256, request_id, body, generation)
            for event in events
        ]
    )


def _request_id_of(envelope: Envelope) -> str | None:
    """Return the request's id, as long as the edge lets one be; what cannot be stored is none."""
    request_id = envelope.request_id
    is_of_use = len(request_id) <= REQUEST_ID_LENGTH and request_id.isprintable()
    return request_id if is_of_use and request_id else None


def refuse(delivery: Delivery, failure: Failure, arrivals: Sequence[Arrival] = ()) -> Refused:
    """Make a dead letter of a delivery, and of the events that its body was found to hold."""
    envelope = delivery.envelope
    tries = f" ({delivery.tries + 1} attempts)" if delivery.tries else ""
    event_type, conversation_id = content_of(envelope.body)
    if arrivals:
        event_type, conversation_id = arrivals[0].event.event_type, arrivals[0].event.conversation_id
    dead_letter = DeadLetter(
        message_id=message_id_of(delivery),
        code=failure.code,
        reason=f"{failure.reason}{tries}",
        body_sha256=hashlib.sha256(envelope.body).hexdigest(),
        source=source_of(delivery),
        received_at_us=envelope.received_at_us,
        attempt=delivery.attempt,
        idempotency_key=arrivals[0].event.idempotency_key if len(arrivals) == 1 else None,
        event_type=event_type,
        conversation_id=conversation_id,
    )
    return Refused(delivery, storable(dead_letter))


def refuse_minimally(refused: Refused, now_us: int) -> Refused:
    """Make a dead letter of a delivery whose own record the database refused."""
    return replace(refused, dead_letter=minimal(refused.dead_letter, now_us))
