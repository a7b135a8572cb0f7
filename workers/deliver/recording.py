"""Record the outcomes of delivery attempts that have ended, in one transaction."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, Engine, select, update

from messaging.clock import Clock
from messaging.envelope import WEBHOOK
from messaging.errors import StatementRefusedError
from messaging.log import logger
from workers.db.engine import BulkStatement, column_kinds, transact
from workers.db.ingest import DeadLetter, record_dead_letters
from workers.db.models import deliveries, outbox
from workers.deliver.dead_letters import DEAD, make_dead_letter_id
from workers.deliver.destinations import Destination
from workers.deliver.leasing import LeasedDelivery, read_leased
from workers.deliver.outcome import FailedAttempts, HttpResult, Outcome, held_delay, retry_delay
from workers.deliver.parking import WAITS, recall_parked
from workers.deliver.subscriptions import GONE, pause
from workers.deliver.webhook import WebhookMessage, build_body
from workers.isolation import isolate
from workers.parsing import moment_of

DELIVERED: Final = "delivered"
REFUSED: Final = "delivery_refused"
GIVEN_UP: Final = "delivery_given_up"

FINAL: Final = frozenset({Outcome.DELIVERED, Outcome.REFUSED, Outcome.EXHAUSTED})
"""The outcomes that end a delivery; the conversation's next event is then sent."""

SET_ASIDE_SECONDS: Final = 3600.0
"""Delay before the next attempt at a delivery if the database did not accept the last attempt's result."""

_D: Final = deliveries.c

# The comment on WAITS in parking.py gives the reason for IS TRUE.
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
        *("outbox_id", "destination", "outcome", "status", "reason"),
        *("attempts", "first_attempt_at", "finished_at", "due_at"),
    ),
)


@dataclass(frozen=True, slots=True)
class DeliveryAttempt:
    """An attempt that ended at *at_us*, or the end of a run before this delivery was attempted.

    Args:
        unsent: The run's deliveries without a final outcome. The sender removes none after the last attempt.
        result: The result of the request; None if nothing was sent and the lease is given back.
        attempts: Number of this delivery's failed attempts that count, including this attempt if it counts.
        is_last: Whether the run ends with this attempt.
    """

    destination: Destination
    delivery: LeasedDelivery
    unsent: Sequence[LeasedDelivery] = ()
    result: HttpResult | None = None
    outcome: Outcome = Outcome.TRANSIENT
    attempts: int = 0
    at_us: int = 0
    took_us: int = 0
    is_last: bool = True

    @property
    def key(self) -> tuple[int, str]:
        """The key of the delivery's row: outbox id and destination."""
        return self.delivery.message.outbox_id, self.destination.name


def record(connection: Connection, attempts: Sequence[DeliveryAttempt], now_us: int) -> None:
    """Record how attempts ended, and schedule the retries of unfinished deliveries."""
    finished = [attempt for attempt in attempts if attempt.outcome in FINAL]
    if finished:
        new = {tuple(key) for key in _FINISH.execute(connection, list(map(_make_row, finished)))}
        dead = {attempt.key: attempt for attempt in finished if attempt.outcome is not Outcome.DELIVERED}
        record_dead_letters(connection, [_make_dead_letter(dead[key]) for key in dead.keys() & new], now_us)
        ended = {(attempt.destination.name, attempt.delivery.message.conversation_id) for attempt in finished}
        recall_parked(connection, ended, now_us)
    for attempt in attempts:
        if attempt.outcome not in FINAL:
            _record_failure(connection, attempt, now_us)


def record_apart(engine: Engine, clock: Clock, attempts: Sequence[DeliveryAttempt]) -> None:
    """Record attempts in several transactions, so that a bad row does not affect the others.

    If the database refuses a delivery's result, the delivery and its conversation wait for an hour. If the
    database is away, call this again with the same attempts.
    """

    def set_aside(attempt: DeliveryAttempt, error: Exception) -> None:
        (outbox_id, name), reason = attempt.key, type(error).__name__
        logger().error("delivery_set_aside", destination=name, outbox_id=outbox_id, reason=reason)
        due_us = clock.now_us() + round(SET_ASIDE_SECONDS * 1_000_000)
        transact(engine, _put_off, attempt, due_us, reason="its result could not be recorded")

    isolate(attempts, lambda some: transact(engine, record, some, clock.now_us()), set_aside)


def read_apart(
    engine: Engine, clock: Clock, destination: Destination, outbox_ids: Sequence[int]
) -> list[LeasedDelivery]:
    """Return leased deliveries. A delivery whose row cannot be read becomes a dead letter instead.

    If the database can read none of the rows, no single row is at fault, and all deliveries wait for an hour.
    """
    name, leased, unread = destination.name, list[LeasedDelivery](), dict[int, Exception]()

    def read(some: Sequence[int]) -> None:
        leased.extend(transact(engine, read_leased, name, some))

    isolate(outbox_ids, read, unread.__setitem__)
    if not leased and all(isinstance(error, StatementRefusedError) for error in unread.values()):
        logger().error(
            "deliveries_unreadable",
            destination=name,
            deliveries=len(unread),
            retry_in_s=SET_ASIDE_SECONDS,
            consequence="check the permissions of the database's user",
        )
        due_us = clock.now_us() + round(SET_ASIDE_SECONDS * 1_000_000)
        rows = update(deliveries).where(_D.destination == name, WAITS, _D.outbox_id.in_(outbox_ids))
        transact(engine, Connection.execute, rows.values(due_at=moment_of(due_us)))
        return []
    for outbox_id, error in unread.items():
        reason = type(error).__name__
        logger().error("delivery_unreadable", destination=name, outbox_id=outbox_id, error=reason)
        transact(engine, _give_up_unreadable, destination, outbox_id, clock.now_us())
    return leased


def _give_up_unreadable(
    connection: Connection, /, destination: Destination, outbox_id: int, now_us: int
) -> None:
    """Dead-letter a delivery whose row cannot be read; its conversation's other deliveries continue."""
    query = select(outbox.c.conversation_id, outbox.c.event_type).where(outbox.c.id == outbox_id)
    row = connection.execute(query).one()
    # Do not read the times in the outbox's row, because they might be the values that cannot be read.
    message = WebhookMessage(outbox_id, *row, moment_of(now_us), 0, late=False, verified=None, payload=b"")
    delivery = LeasedDelivery(message, FailedAttempts(), lease_us=0)
    result = HttpResult(None, "its row cannot be read")
    attempt = DeliveryAttempt(destination, delivery, (), result, Outcome.EXHAUSTED, at_us=now_us)
    record(connection, [attempt], now_us)


def _put_off(connection: Connection, /, attempt: DeliveryAttempt, due_us: int, **values: object) -> None:
    """Postpone a delivery until *due_us* and update its columns, if this process still holds its lease.

    If the delivery is to be retried, the later deliveries of its run wait until *due_us* too.
    """
    outbox_id, name = attempt.key
    run = [attempt.delivery, *(() if attempt.outcome in FINAL else attempt.unsent)]
    # A delivery that was added to the run after an operator resent it has a different lease.
    leases = {moment_of(delivery.lease_us) for delivery in run}
    leased = update(deliveries).where(_D.destination == name, WAITS, _D.due_at.in_(leases))
    if values:
        connection.execute(leased.where(_D.outbox_id == outbox_id).values(**values))
    ids = {delivery.message.outbox_id for delivery in run}
    connection.execute(leased.where(_D.outbox_id.in_(ids)).values(due_at=moment_of(due_us)))


def _record_failure(connection: Connection, attempt: DeliveryAttempt, now_us: int) -> None:
    """Postpone a run until its failed delivery is retried. If nothing was sent, make the run due at once."""
    name, delivery, result = attempt.destination.name, attempt.delivery, attempt.result
    if result is None:
        _put_off(connection, attempt, now_us)
        return
    if attempt.outcome is Outcome.GONE and pause(connection, name, now_us, GONE):
        logger().error("destination_paused", destination=name, reason=GONE)
    values = dict[str, object](attempts=attempt.attempts, status=result.status, reason=result.reason)
    seconds = retry_delay(attempt.attempts, result.retry_after)
    has_counted = attempt.attempts > delivery.history.attempts
    if attempt.outcome is Outcome.HELD:
        refused_us = attempt.at_us if has_counted else delivery.history.refused_us or attempt.at_us
        values["refused_at"] = moment_of(refused_us)
        seconds = held_delay((attempt.at_us - refused_us) / 1_000_000)
    if has_counted:
        values["first_attempt_at"] = moment_of(delivery.history.first_attempt_us or attempt.at_us)
    _put_off(connection, attempt, attempt.at_us + round(seconds * 1_000_000), **values)


def _make_row(attempt: DeliveryAttempt) -> tuple[object, ...]:
    result, is_dead = attempt.result, attempt.outcome is not Outcome.DELIVERED
    assert result is not None
    return (
        *attempt.key,
        DEAD if is_dead else DELIVERED,
        result.status,
        result.reason if is_dead else None,
        attempt.attempts,
        attempt.delivery.history.first_attempt_us or (attempt.at_us if is_dead else None),
        attempt.at_us,
        attempt.at_us,
    )


def _make_dead_letter(attempt: DeliveryAttempt) -> DeadLetter:
    """Return the record of a given-up delivery, without reading its event, which might be unreadable."""
    message, result, name = attempt.delivery.message, attempt.result, attempt.destination.name
    assert result is not None
    is_refused = attempt.outcome is Outcome.REFUSED
    times = f", given up after {attempt.attempts} attempts" if attempt.attempts and not is_refused else ""
    return DeadLetter(
        message_id=make_dead_letter_id(name, message.outbox_id, message.created_at_us),
        code=REFUSED if is_refused else GIVEN_UP,
        reason=f"destination {name}: {result.reason}{times}",
        body_sha256=hashlib.sha256(message.payload or build_body(message)).hexdigest(),
        source=WEBHOOK,
        received_at_us=message.created_at_us or attempt.at_us,
        attempt=max(1, attempt.attempts),
        event_type=message.event_type,
        conversation_id=message.conversation_id,
        destination=name,
    )
