"""The outcome of each delivery of a batch, and the counts of a batch and of the whole process."""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from messaging.consuming import Delivery, Settlement
from messaging.envelope import INGEST, OTHER, RECONCILE, REPLAY, WEBHOOK
from workers.db.canary import Canary
from workers.db.ingest import DeadLetter, make_storable
from workers.handlers import Handler
from workers.intake.dispatch import Dispatched
from workers.intake.failure import Failure
from workers.parsing import TYPING, Arrival, Drift, read_identifiers

SOURCES: Final = frozenset({WEBHOOK, RECONCILE, REPLAY, INGEST})

TRANSIENT_TYPES: Final = frozenset({TYPING})
"""Counted and not stored: typing is over before a service could use it."""


@dataclass(slots=True)
class Parsed:
    """A delivery whose body holds one event, or several. Treat it as immutable.

    Args:
        delivery: It is acknowledged once its effect is committed.
        arrivals: The events; none if it is a canary.
        canary: An event of our own, which takes no effect; None of all others.
    """

    delivery: Delivery
    arrivals: tuple[Arrival, ...]
    canary: Canary | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """A delivery that becomes a dead letter."""

    delivery: Delivery
    dead_letter: DeadLetter


ParsedOrRefused: TypeAlias = Parsed | Refused


@dataclass(frozen=True, slots=True)
class Retry:
    """A delivery that is processed again, alone, after a delay in seconds."""

    delivery: Delivery
    failure: Failure
    delay: float


@dataclass(frozen=True, slots=True)
class Committed:
    """The result of one transaction.

    Args:
        parsed: Number of stored events, new or not.
        dispatched: Their result.
        refused: Deliveries to dead-letter.
        recorded: Message ids of dead letters that had no record before.
        drift: Drift that had no record before.
        unstored: Number of events that were only counted.
    """

    parsed: int
    dispatched: Dispatched
    refused: Sequence[Refused]
    recorded: frozenset[str]
    drift: Sequence[Drift]
    unstored: int = 0


@dataclass(slots=True)
class Results:
    """The result of a batch so far; deliveries are counted once, when they are committed."""

    refused: list[Refused] = field(default_factory=list)
    recorded: list[Refused] = field(default_factory=list)
    retries: list[Retry] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, committed: Committed) -> None:
        """Count one transaction. A dead letter that arrives again was counted when it was recorded."""
        dispatched = committed.dispatched
        self.refused += committed.refused
        self.recorded += [
            refused for refused in committed.refused if refused.dead_letter.message_id in committed.recorded
        ]
        self.counts.update(
            processed=len(dispatched.new) - len(dispatched.skips),
            skipped=len(dispatched.skips),
            duplicates=committed.parsed - len(dispatched.new) - dispatched.conflicts,
            conflicts=dispatched.conflicts,
            unstored=committed.unstored,
        )

    def settlement(self) -> Settlement:
        """Return how to settle the deliveries."""
        return Settlement(
            frozenset(refused.delivery.tag for refused in self.refused),
            {retry.delivery.tag: retry.delay for retry in self.retries},
        )

    def total(self, deliveries: int) -> Counter[str]:
        """Return all counts of a batch."""
        total = Counter(self.counts)
        total.update(deliveries=deliveries, dead_lettered=len(self.recorded), put_off=len(self.retries))
        return total


def unstored_types(handlers: Mapping[str, Collection[Handler]]) -> frozenset[str]:
    """Return the event types that need no record; one with an integrator's handler beside ours does."""
    return frozenset(kind for kind in TRANSIENT_TYPES if len(handlers.get(kind, ())) == 1)


def partition(
    outcomes: Iterable[ParsedOrRefused], unstored: AbstractSet[str]
) -> tuple[Sequence[Arrival], Counter[str]]:
    """Return the arrivals to store, and the number of others by type."""
    arrivals: list[Arrival] = []
    counts: Counter[str] = Counter()
    for outcome in outcomes:
        for arrival in outcome.arrivals if isinstance(outcome, Parsed) else ():
            if arrival.event.event_type in unstored:
                counts[arrival.event.event_type] += 1
            else:
                arrivals.append(arrival)
    return arrivals, counts


def source_of(delivery: Delivery) -> str:
    """Return where the event came from; names that other publishers give themselves are not kept."""
    source = delivery.envelope.source.partition(":")[0]
    return source if source in SOURCES else OTHER


def refuse(delivery: Delivery, failure: Failure, arrivals: Sequence[Arrival] = ()) -> Refused:
    """Make a dead letter of a delivery, with the identifiers of its events as far as they could be read."""
    envelope = delivery.envelope
    attempts = f" ({delivery.local_attempts + 1} attempts)" if delivery.local_attempts else ""
    event_type, conversation_id = read_identifiers(envelope.body)
    if arrivals:
        event_type, conversation_id = arrivals[0].event.event_type, arrivals[0].event.conversation_id
    dead_letter = DeadLetter(
        message_id=envelope.identity,
        code=failure.code,
        reason=f"{failure.reason}{attempts}",
        body_sha256=hashlib.sha256(envelope.body).hexdigest(),
        source=source_of(delivery),
        received_at_us=envelope.received_at_us,
        attempt=delivery.delivery_count,
        idempotency_key=arrivals[0].event.idempotency_key if len(arrivals) == 1 else None,
        event_type=event_type,
        conversation_id=conversation_id,
    )
    return Refused(delivery, make_storable(dead_letter))
