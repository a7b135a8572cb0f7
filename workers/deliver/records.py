"""Write down what attempts came to, in one transaction for all that have ended."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from messaging.log import logger
from workers.db.engine import transact
from workers.deliver.dead_letters import record_reasons
from workers.deliver.heads import recall_parked
from workers.deliver.judgement import End, pause_after, pause_held
from workers.deliver.outcomes import DEAD, DELIVERED, finish, put_off
from workers.deliver.registry import GONE, pause
from workers.isolation import isolate
from workers.parsing import moment_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Engine

    from messaging.clock import Clock
    from workers.deliver.attempts import Attempt

SET_ASIDE_SECONDS: Final = 3600.0
"""Until a delivery is tried again whose result the database does not accept."""

OUTCOMES: Final = {
    End.DELIVERED: DELIVERED,
    End.PERMANENT: DEAD,
    End.EXHAUSTED: DEAD,
}


def record(
    connection: Connection, attempts: Sequence[Attempt], now_us: int, *, reads_events: bool = True
) -> None:
    """Write how deliveries ended, and when those that did not are tried again.

    Args:
        connection: In a transaction.
        attempts: What has ended.
        now_us: The database's clock, microseconds since the epoch.
        reads_events: Whether dead letters are recorded with values of their events.
    """
    finished = [each for each in attempts if each.end in OUTCOMES]
    if finished:
        new = finish(connection, [_finished_row(each) for each in finished])
        dead = [each for each in finished if _is_dead(each) and _key_of(each) in new]
        record_reasons(connection, dead, now_us, reads_events=reads_events)
        ended = {(each.destination.name, each.taken.message.conversation_id) for each in finished}
        recall_parked(connection, sorted(ended), now_us)
    for each in attempts:
        if each.end not in OUTCOMES:
            _put_off(connection, each, now_us)


def record_apart(engine: Engine, clock: Clock, attempts: Sequence[Attempt]) -> None:
    """Record attempts in several transactions, so that one at fault costs only itself.

    If the event of a dead letter cannot be read, the dead letter is recorded without it. A delivery whose
    result is refused all the same waits for an hour, and its conversation with it.

    Raises:
        RetryLaterError: The database is away; record the same again.
    """

    def record_some(some: Sequence[Attempt], *, reads_events: bool) -> None:
        transact(
            engine,
            lambda connection: record(connection, some, clock.now_us(), reads_events=reads_events),
        )

    def set_aside(attempt: Attempt, error: Exception) -> None:
        name, because = attempt.destination.name, type(error).__name__
        outbox_id = attempt.taken.message.outbox_id
        logger().error("delivery_set_aside", destination=name, outbox_id=outbox_id, reason=because)
        due_us = clock.now_us() + round(SET_ASIDE_SECONDS * 1_000_000)
        transact(
            engine,
            lambda connection: put_off(connection, name, attempt.taken, attempt.rest, due_us, reason=because),
        )

    def record_without_event(attempt: Attempt, _error: Exception) -> None:
        isolate([attempt], partial(record_some, reads_events=False), set_aside)

    isolate(attempts, partial(record_some, reads_events=True), record_without_event)


def _put_off(connection: Connection, attempt: Attempt, now_us: int) -> None:
    """Let the run wait for the failed delivery; what was not sent goes back as it was."""
    name, taken, answer = attempt.destination.name, attempt.taken, attempt.answer
    if answer is None:
        put_off(connection, name, taken, attempt.rest, now_us)
        return
    if attempt.end is End.GONE and pause(connection, name, now_us, GONE):
        logger().error("destination_paused", destination=name, reason=GONE)
    noted: dict[str, object] = {
        "attempts": attempt.attempts,
        "status": answer.status,
        "reason": answer.reason,
    }
    seconds = pause_after(attempt.attempts, answer.retry_after)
    if attempt.end is End.HELD:
        refused_us = taken.refused_us or attempt.at_us
        noted["refused_at"] = moment_of(refused_us)
        seconds = pause_held((attempt.at_us - refused_us) / 1_000_000)
    elif attempt.attempts > taken.attempts:
        noted["first_attempt_at"] = moment_of(taken.first_attempt_us or attempt.at_us)
    due_us = attempt.at_us + round(seconds * 1_000_000)
    put_off(connection, name, taken, attempt.rest, due_us, **noted)


def _finished_row(attempt: Attempt) -> tuple[object, ...]:
    taken, answer = attempt.taken, attempt.answer
    assert answer is not None
    is_dead = _is_dead(attempt)
    return (
        taken.message.outbox_id,
        attempt.destination.name,
        OUTCOMES[attempt.end],
        answer.status,
        answer.reason if is_dead else None,
        attempt.attempts,
        taken.first_attempt_us or (attempt.at_us if is_dead else None),
        attempt.at_us,
        attempt.at_us,
    )


def _is_dead(attempt: Attempt) -> bool:
    return OUTCOMES[attempt.end] == DEAD


def _key_of(attempt: Attempt) -> tuple[int, str]:
    return attempt.taken.message.outbox_id, attempt.destination.name
