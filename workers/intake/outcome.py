"""The outcome of each delivery of a batch: its counts, and its lines in the log."""

import hashlib
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Final

from messaging.consuming import Delivery, Settlement
from messaging.envelope import INGEST, OTHER, RECONCILE, REPLAY, WEBHOOK
from messaging.log import logger
from messaging.topology import UNROUTED
from workers.db.canary import Canary
from workers.db.ingest import DeadLetter, make_storable
from workers.intake.dispatch import Dispatched
from workers.intake.failure import Failure
from workers.parsing import Arrival, read_identifiers

SOURCES: Final = frozenset({WEBHOOK, RECONCILE, REPLAY, INGEST})

COUNTS: Final = (
    *("processed", "skipped", "duplicates", "conflicts"),
    *("unstored", "undecided", "dead_lettered", "put_off"),
)

log = logger()


@dataclass(slots=True)
class Parsed:
    """A delivery with its events, its canary, or the dead letter that it becomes. Treat it as immutable."""

    delivery: Delivery
    arrivals: tuple[Arrival, ...] = ()
    canary: Canary | None = None
    dead_letter: DeadLetter | None = None


@dataclass(frozen=True, slots=True)
class Retry:
    """A delivery that is processed again, alone, after a delay in seconds."""

    delivery: Delivery
    failure: Failure
    delay: float


@dataclass(slots=True)
class Results:
    """The result of a batch so far; deliveries are counted once, when they are committed.

    Args:
        rejected: Tags of all dead letters.
        recorded: Dead letters that had no record before, each with its delivery.
    """

    rejected: set[int] = field(default_factory=set)
    recorded: list[tuple[Delivery, DeadLetter]] = field(default_factory=list)
    retries: list[Retry] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def settlement(self) -> Settlement:
        """Return how to settle the deliveries."""
        retries = {retry.delivery.tag: retry.delay for retry in self.retries}
        return Settlement(frozenset(self.rejected), retries)

    def total(self, deliveries: int) -> Counter[str]:
        """Return all counts of a batch."""
        total = Counter(self.counts)
        total.update(deliveries=deliveries, dead_lettered=len(self.recorded), put_off=len(self.retries))
        return total


def partition(outcomes: Iterable[Parsed], unstored: AbstractSet[str]) -> tuple[list[Arrival], Counter[str]]:
    """Return the arrivals to store, and the number of others by type."""
    arrivals: list[Arrival] = []
    counts: Counter[str] = Counter()
    for outcome in outcomes:
        for arrival in outcome.arrivals:
            if arrival.event.event_type in unstored:
                counts[arrival.event.event_type] += 1
            else:
                arrivals.append(arrival)
    return arrivals, counts


def source_of(delivery: Delivery) -> str:
    """Return the event's source; the name that any other publisher gave itself becomes OTHER."""
    source = delivery.envelope.source.partition(":")[0]
    return source if source in SOURCES else OTHER


def make_dead_letter(delivery: Delivery, failure: Failure, arrivals: Sequence[Arrival] = ()) -> DeadLetter:
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
    return make_storable(dead_letter)


def log_batch(deliveries: Sequence[Delivery], results: Results, duration: float) -> None:
    """Log the batch's line, its dead letters and its retries."""
    for delivery, dead_letter in results.recorded:
        log.warning(
            "delivery_dead_lettered",
            code=dead_letter.code,
            reason=dead_letter.reason,
            message_id=dead_letter.message_id,
            body_sha256=dead_letter.body_sha256,
            attempt=delivery.delivery_count,
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
    if unrouted := sum(delivery.queue == UNROUTED for delivery in deliveries):
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
    # Compare by identity, because copies of one event in one batch are equal.
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
