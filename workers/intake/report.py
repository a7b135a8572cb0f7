"""Log a batch: one line for it, and one for each delivery that was not simply processed."""

import logging
from collections.abc import Sequence

from messaging.consuming import Delivery
from messaging.log import logger
from messaging.topology import UNROUTED
from workers.intake.dispatch import Dispatched
from workers.intake.failure import describe
from workers.intake.outcome import Refused, Results
from workers.parsing import Arrival, Drift

log = logger()

COUNTS = (
    "processed",
    "skipped",
    "duplicates",
    "conflicts",
    "unstored",
    "undecided",
    "dead_lettered",
    "put_off",
)


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
        log.warning(
            "drift_noted", kind=item.kind, name=item.name, event_type=item.event_type, sample=item.sample
        )


def log_unrecordable(refused: Refused, error: Exception) -> None:
    """Log that the database refuses a dead letter's record, which therefore loses its code and reason."""
    log.error(
        "dead_letter_unrecordable",
        code=refused.dead_letter.code,
        reason=refused.dead_letter.reason,
        error=describe(error),
        message_id=refused.dead_letter.message_id,
    )
