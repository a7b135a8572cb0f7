"""Record the outcomes of attempts, in one transaction for all that have ended."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, Engine, Update, update

from messaging.clock import Clock
from messaging.log import logger
from workers.db.engine import BulkStatement, column_kinds, transact
from workers.db.models import deliveries
from workers.deliver.dead_letters import DEAD, record_dead_deliveries, record_unreadable
from workers.deliver.outcome import Outcome, held_delay, retry_delay
from workers.deliver.parking import WAITS, recall_parked
from workers.deliver.runs import FINAL, DeliveryAttempt
from workers.deliver.subscriptions import GONE, pause
from workers.isolation import isolate
from workers.parsing import moment_of

DELIVERED: Final = "delivered"

SET_ASIDE_SECONDS: Final = 3600.0
"""Until a delivery is tried again whose result the database does not accept."""

_D: Final = deliveries.c

# IS TRUE for the same reason as WAITS.
_FINISH: Final = BulkStatement(
    """
    UPDATE deliveries SET outcome = {outcome}, status = {status}, reason = {reason},
        attempts = {attempts}, first_attempt_at = {first_attempt_at}, finished_at = {finished_at},
        due_at = {due_at}
    FROM {rows} WHERE deliveries.outbox_id = {outbox_id} AND deliveries.destination = {destination}
        AND (deliveries.outcome IS NULL) IS TRUE
    RETURNING deliveries.outbox_id, deliveries.destination
    """,
    column_kinds(
        deliveries,
        "outbox_id",
        "destination",
        "outcome",
        "status",
        "reason",
        "attempts",
        "first_attempt_at",
        "finished_at",
        "due_at",
    ),
)


def finish(connection: Connection, rows: Sequence[tuple[object, ...]]) -> set[tuple[int, str]]:
    """Record the ends of deliveries, values in the order of the columns above.

    Returns:
        Outbox id and destination of those whose end was not recorded yet.
    """
    return {(outbox_id, destination) for outbox_id, destination in _FINISH.execute(connection, rows)}


def record(connection: Connection, attempts: Sequence[DeliveryAttempt], now_us: int) -> None:
    """Record how attempts ended, and when deliveries that have not ended are tried again."""
    finished = [attempt for attempt in attempts if attempt.outcome in FINAL]
    if finished:
        new = finish(connection, [_make_row(attempt) for attempt in finished])
        dead = [attempt for attempt in finished if _is_dead(attempt) and attempt.key in new]
        record_dead_deliveries(connection, dead, now_us)
        ended = {(attempt.destination.name, attempt.delivery.message.conversation_id) for attempt in finished}
        recall_parked(connection, ended, now_us)
    for attempt in attempts:
        if attempt.outcome not in FINAL:
            _record_failure(connection, attempt, now_us)


def record_apart(engine: Engine, clock: Clock, attempts: Sequence[DeliveryAttempt]) -> None:
    """Record attempts in several transactions, so that one at fault costs only itself.

    A delivery whose result the database refuses waits for an hour, and its conversation with it.

    Raises:
        RetryLaterError: The database is away; record the same again.
    """

    def record_some(some: Sequence[DeliveryAttempt]) -> None:
        transact(engine, lambda connection: record(connection, some, clock.now_us()))

    def set_aside(attempt: DeliveryAttempt, error: Exception) -> None:
        (outbox_id, name), reason = attempt.key, type(error).__name__
        logger().error("delivery_set_aside", destination=name, outbox_id=outbox_id, reason=reason)
        reason = "its result could not be recorded"
        due_us = clock.now_us() + round(SET_ASIDE_SECONDS * 1_000_000)
        transact(engine, lambda connection: put_off(connection, attempt, due_us, reason=reason))

    isolate(attempts, record_some, set_aside)


def give_up_unreadable(
    engine: Engine, clock: Clock, destination: str, outbox_id: int, error: Exception
) -> None:
    """End a leased delivery whose row cannot be read, as a dead letter; its conversation goes on."""
    reason, now_us = "its row cannot be read", clock.now_us()
    error_name = type(error).__name__
    logger().error("delivery_unreadable", destination=destination, outbox_id=outbox_id, error=error_name)

    def give_up(connection: Connection) -> None:
        row = (outbox_id, destination, DEAD, None, reason, 0, None, now_us, now_us)
        if finish(connection, [row]):
            conversation_id = record_unreadable(connection, destination, outbox_id, reason, now_us)
            recall_parked(connection, [(destination, conversation_id)], now_us)

    transact(engine, give_up)


def set_unread_aside(
    engine: Engine, clock: Clock, destination: str, outbox_ids: Sequence[int], lease_us: int
) -> None:
    """Let leased deliveries wait for an hour, since the database refuses to read any of them."""
    if not outbox_ids:
        return
    logger().error(
        "deliveries_unreadable",
        destination=destination,
        deliveries=len(outbox_ids),
        retry_in_s=SET_ASIDE_SECONDS,
        consequence="check the permissions of the database's user",
    )
    due_us = clock.now_us() + round(SET_ASIDE_SECONDS * 1_000_000)
    rows = _update_leased(destination, lease_us).where(_D.outbox_id.in_(outbox_ids))
    transact(engine, lambda connection: connection.execute(rows.values(due_at=moment_of(due_us))))


def _update_leased(destination: str, lease_us: int) -> Update:
    return update(deliveries).where(_D.destination == destination, WAITS, _D.due_at == moment_of(lease_us))


def put_off(connection: Connection, attempt: DeliveryAttempt, due_us: int, **values: object) -> None:
    """Let a run wait until *due_us*, as far as its lease is still this process's.

    The failed delivery gets the values of further columns; those that follow it go back as they were.
    """
    outbox_id, name = attempt.key
    leased = _update_leased(name, attempt.delivery.lease_us)
    if values:
        connection.execute(leased.where(_D.outbox_id == outbox_id).values(**values))
    connection.execute(leased.where(_D.outbox_id.in_(attempt.rest)).values(due_at=moment_of(due_us)))


def _record_failure(connection: Connection, attempt: DeliveryAttempt, now_us: int) -> None:
    """Let the run wait for the failed delivery; if nothing was sent, it may be leased again at once."""
    name, delivery, result = attempt.destination.name, attempt.delivery, attempt.result
    if result is None:
        put_off(connection, attempt, now_us)
        return
    if attempt.outcome is Outcome.GONE and pause(connection, name, now_us, GONE):
        logger().error("destination_paused", destination=name, reason=GONE)
    values: dict[str, object] = {
        "attempts": attempt.attempts,
        "status": result.status,
        "reason": result.reason,
    }
    seconds = retry_delay(attempt.attempts, result.retry_after)
    has_counted = attempt.attempts > delivery.attempts
    if attempt.outcome is Outcome.HELD:
        refused_us = attempt.at_us if has_counted else delivery.refused_us or attempt.at_us
        values["refused_at"] = moment_of(refused_us)
        seconds = held_delay((attempt.at_us - refused_us) / 1_000_000)
    if has_counted:
        values["first_attempt_at"] = moment_of(delivery.first_attempt_us or attempt.at_us)
    put_off(connection, attempt, attempt.at_us + round(seconds * 1_000_000), **values)


def _make_row(attempt: DeliveryAttempt) -> tuple[object, ...]:
    result, is_dead = attempt.result, _is_dead(attempt)
    assert result is not None
    return (
        *attempt.key,
        DEAD if is_dead else DELIVERED,
        result.status,
        result.reason if is_dead else None,
        attempt.attempts,
        attempt.delivery.first_attempt_us or (attempt.at_us if is_dead else None),
        attempt.at_us,
        attempt.at_us,
    )


def _is_dead(attempt: DeliveryAttempt) -> bool:
    return attempt.outcome is not Outcome.DELIVERED
