"""Log what became of a batch: one line for it, and one for each delivery that was not simply processed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from messaging.log import logger
from messaging.topology import UNROUTED
from workers.intake.failure import described
from workers.intake.outcome import message_id_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from messaging.consuming import Delivery
    from workers.intake.dispatch import Dispatched
    from workers.intake.outcome import PutOff, Refused, Results
    from workers.parsing import Arrival, Drift

log = logger()


def log_batch(deliveries: Sequence[Delivery], results: Results, duration: float) -> None:
    """Write the lines."""
    for refused in results.recorded:
        _log_refused(refused)
    for put_off in results.put_off:
        _log_put_off(put_off)
    unrouted = sum(each.queue == UNROUTED for each in deliveries)
    if unrouted:
        log.warning("deliveries_unrouted", deliveries=unrouted, reason="they met no binding of the exchange")
    log.info(
        "batch_processed",
        deliveries=len(deliveries),
        processed=results.processed,
        skipped=results.skipped,
        duplicates=results.duplicates,
        conflicts=results.conflicts,
        unstored=results.unstored,
        untold=results.untold,
        dead_lettered=len(results.recorded),
        put_off=len(results.put_off),
        duration_s=round(duration, 4),
    )


def log_untold(delivery: Delivery) -> None:
    """Say that an edge process tells of its answers in a form that this version does not know."""
    log.warning(
        "edge_statistics_unreadable",
        message_id=message_id_of(delivery),
        consequence="what that process answered in that time is in no statistics; update the workers",
    )


def log_events(arrivals: Sequence[Arrival], dispatched: Dispatched) -> None:
    """Write a line for each event of a committed transaction; only debug asks for that many."""
    if not log.is_enabled_for(logging.DEBUG):
        return
    # By identity: copies of one event in one batch have all else in common.
    new = {id(each.arrival): each.event_id for each in dispatched.new}
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


def log_drift(news: Sequence[Drift]) -> None:
    """Write a line for each thing that no version of this service knew so far."""
    for each in news:
        log.warning(
            "drift_noted", kind=each.kind, name=each.name, event_type=each.event_type, sample=each.sample
        )


def log_unrecordable(refused: Refused, error: Exception) -> None:
    """Write that the database refuses a dead letter's record, which loses its code and reason."""
    log.error(
        "dead_letter_unrecordable",
        code=refused.dead_letter.code,
        reason=refused.dead_letter.reason,
        error=described(error),
        message_id=refused.dead_letter.message_id,
    )


def _log_refused(refused: Refused) -> None:
    log.warning(
        "delivery_dead_lettered",
        code=refused.dead_letter.code,
        reason=refused.dead_letter.reason,
        message_id=refused.dead_letter.message_id,
        body_sha256=refused.dead_letter.body_sha256,
        attempt=refused.delivery.attempt,
    )


def _log_put_off(put_off: PutOff) -> None:
    log.warning(
        "delivery_put_off",
        code=put_off.failure.code,
        reason=put_off.failure.reason,
        where=put_off.failure.where,
        message_id=message_id_of(put_off.delivery),
        attempt=put_off.delivery.tries + 1,
        retry_in_s=round(put_off.pause, 2),
    )
