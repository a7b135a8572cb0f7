"""The outcome of each delivery of a batch: its counts, and its lines in the log."""

import hashlib
import logging
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from messaging.consuming import Delivery, Settlement
from messaging.envelope import INGEST, OTHER, RECONCILE, REPLAY, WEBHOOK
from messaging.log import logger
from messaging.topology import UNROUTED
from workers.db.canary import Canary
from workers.db.ingest import DeadLetter, make_storable
from workers.handlers import Handler
from workers.intake.dispatch import Dispatched
from workers.intake.failure import Failure, describe
from workers.parsing import TYPING, Arrival, Drift, read_identifiers

SOURCES: Final = frozenset({WEBHOOK, RECONCILE, REPLAY, INGEST})

TRANSIENT_TYPES: Final = frozenset({TYPING})
"""Counted and not stored: typing is over before a service could use it."""


COUNTS = (
    *("processed", "skipped", "duplicates", "conflicts"),
    *("unstored", "undecided", "dead_lettered", "put_off"),
)

log = logger()


@dataclass(slots=True)
class Parsed:
    """A delivery whose body holds one event, or several, or none if it is a canary. Treat it as immutable."""

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


@dataclass(slots=True)
class Results:
    """The result of a batch so far; deliveries are counted once, when they are committed."""

    refused: list[Refused] = field(default_factory=list)
    recorded: list[Refused] = field(default_factory=list)
    retries: list[Retry] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def add(
        self, arrivals: int, dispatched: Dispatched, refused: Sequence[Refused], recorded: AbstractSet[str]
    ) -> None:
        """Count one transaction, with the message ids of dead letters that had no record before."""
        self.refused += refused
        self.recorded += [one for one in refused if one.dead_letter.message_id in recorded]
        self.counts.update(
            processed=len(dispatched.new) - len(dispatched.skips),
            skipped=len(dispatched.skips),
            duplicates=arrivals - len(dispatched.new) - dispatched.conflicts,
            conflicts=dispatched.conflicts,
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


def log_batch(deliveries: Sequence[Delivery], results: Results, duration: float) -> None:
    """Log the batch's line, its dead letters and its retries."""
    for refused in results.recorded:
        log.warning(
            "delivery_dead_lettered",
            code=refused.dead_letter.code,
            reason=refused.dead_letter.reason,
            message_id=refused.dead_letter.message_id,
            body_sha256=refused.dead_letter.body_sha256,
            attempt=refused.delivery.delivery_count,
        )
    for retry in results.retries:
        log.warning(
            "delivery_put_off",
            code=retry.failure.code,
            reason=retry.failure.reason,
            where=retry.failure.where,
            message_id=retry.delivery.envelope.identity,
            attempt=retry.delivery.local_attempts + 1,
            retry_in_s=round(retry.delay, 2),
        )
    unrouted = sum(delivery.queue == UNROUTED for delivery in deliveries)
    if unrouted:
        log.warning("deliveries_unrouted", deliveries=unrouted, reason="no binding of the exchange matched")
    counts = results.total(len(deliveries))
    log.info(
        "batch_processed",
        deliveries=len(deliveries),
        **{name: counts[name] for name in COUNTS},
        duration_s=round(duration, 4),
    )


def log_events(arrivals: Sequence[Arrival], dispatched: Dispatched) -> None:
    """Log a line for each event of a committed transaction, at level debug."""
    if not log.is_enabled_for(logging.DEBUG):
        return
    # By identity: copies of one event in one batch are equal.
    new = {id(claimed.arrival): claimed.event_id for claimed in dispatched.new}
    for arrival in arrivals:
        event_id = new.get(id(arrival))
        is_skipped = event_id in dispatched.skips
        log.debug(
            "event_settled",
            outcome="known" if event_id is None else "skipped" if is_skipped else "processed",
            reason=dispatched.skips[event_id] if event_id and is_skipped else None,
            event_type=arrival.event.event_type,
            conversation_id=arrival.event.conversation_id,
            message_id=arrival.message_id,
            request_id=arrival.request_id,
        )


def log_drift(drift: Sequence[Drift]) -> None:
    """Log a line for each name or value that this version does not know and has not seen before."""
    for item in drift:
        shown = {"kind": item.kind, "name": item.name, "sample": item.sample}
        log.warning("drift_noted", **shown, event_type=item.event_type)


def log_unrecordable(dead_letter: DeadLetter, error: Exception) -> None:
    """Log that the database refuses a dead letter's record, which therefore loses its code and reason."""
    values = {"code": dead_letter.code, "reason": dead_letter.reason, "message_id": dead_letter.message_id}
    log.error("dead_letter_unrecordable", **values, error=describe(error))
