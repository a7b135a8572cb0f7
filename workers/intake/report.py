"""Log what became of a batch: one line for it, and one for each delivery that was not simply processed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from messaging.log import logger
from messaging.topology import UNROUTED
from workers.intake.outcome import message_id_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from messaging.delivery import Delivery
    from workers.intake.outcome import PutOff, Refused, Results

log = logger()


def log_batch(deliveries: Sequence[Delivery], results: Results, duration: float) -> None:
    """Write the lines."""
    for refused in results.refused:
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
        dead_lettered=len(results.refused),
        put_off=len(results.put_off),
        duration_s=round(duration, 4),
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
