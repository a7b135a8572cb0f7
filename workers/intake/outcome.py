"""Collect the outcomes of a batch's deliveries, log them, and make dead letters."""

import hashlib
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from messaging.consuming import Delivery
from messaging.envelope import CANARY, INGEST, OTHER, RECONCILE, REPLAY, WEBHOOK
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
    """A delivery and what was read from it: events, a canary, or a dead letter. Treat it as immutable."""

    delivery: Delivery
    arrivals: tuple[Arrival, ...] = ()
    canary: Canary | None = None
    dead_letter: DeadLetter | None = None


@dataclass(slots=True)
class Results:
    """The result of a batch so far. A delivery is counted once its transaction is committed.

    Args:
        rejected: Delivery tags of all dead letters.
        retries: Maps a delivery tag to the seconds after which the delivery is processed again, alone.
    """

    rejected: set[int] = field(default_factory=set)
    retries: dict[int, float] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)


def source_of(delivery: Delivery) -> str:
    """Return the source of a delivery's event, or OTHER if an unknown program published the event."""
    source = delivery.envelope.source.partition(":")[0]
    # A delivery that is marked as a canary but has a different body counts as an ordinary webhook.
    return WEBHOOK if source == CANARY else source if source in SOURCES else OTHER


def make_dead_letter(delivery: Delivery, failure: Failure, arrivals: Sequence[Arrival] = ()) -> DeadLetter:
    """Make a dead letter from a delivery. It contains the event's identifiers if they could be read."""
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


def log_batch(deliveries: Sequence[Delivery], counts: Counter[str], duration: float) -> None:
    """Log one line for a batch: the outcomes of its deliveries and the time that it took."""
    if unrouted := sum(delivery.queue == UNROUTED for delivery in deliveries):
        log.warning("deliveries_unrouted", deliveries=unrouted, reason="no binding of the exchange matched")
    log.info(
        "batch_processed",
        deliveries=len(deliveries),
        **{name: counts[name] for name in COUNTS},
        duration_s=round(duration, 4),
    )


def log_dead_letter(delivery: Delivery, dead_letter: DeadLetter) -> None:
    """Log a dead letter whose record is new, or was renewed after an operator's decision."""
    log.warning(
        "delivery_dead_lettered",
        code=dead_letter.code,
        reason=dead_letter.reason,
        message_id=dead_letter.message_id,
        body_sha256=dead_letter.body_sha256,
        attempt=delivery.delivery_count,
    )


def log_events(arrivals: Sequence[Arrival], dispatched: Dispatched) -> None:
    """Log one line for each event of a committed transaction, if the log level is DEBUG."""
    if not log.is_enabled_for(logging.DEBUG):
        return
    # Compare object identities, because two copies of an event in the same batch are equal.
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
