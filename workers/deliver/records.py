"""Write down what attempts came to, in one transaction for all that have ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from messaging.log import logger
from workers.deliver import deliveries
from workers.deliver.dead_letters import record_reasons
from workers.deliver.judgement import End, pause_after, pause_held
from workers.deliver.registry import GONE, pause
from workers.parsing import moment_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from workers.deliver.attempts import Attempt

OUTCOMES: Final = {
    End.DELIVERED: deliveries.DELIVERED,
    End.PERMANENT: deliveries.DEAD,
    End.EXHAUSTED: deliveries.DEAD,
}


def record(connection: Connection, attempts: Sequence[Attempt], now_us: int) -> None:
    """Write how deliveries ended, and when those that did not are tried again."""
    finished = [each for each in attempts if each.end in OUTCOMES]
    if finished:
        new = deliveries.finish(connection, [_finished_row(each) for each in finished])
        record_reasons(
            connection, [each for each in finished if _is_dead(each) and _key_of(each) in new], now_us
        )
        ended = {(each.destination.name, each.taken.message.conversation_id) for each in finished}
        deliveries.recall_parked(connection, sorted(ended), now_us)
    for each in attempts:
        if each.end not in OUTCOMES:
            _put_off(connection, each, now_us)


def _put_off(connection: Connection, attempt: Attempt, now_us: int) -> None:
    """Let the run wait for the failed delivery; what was not sent goes back as it was."""
    name, taken, answer = attempt.destination.name, attempt.taken, attempt.answer
    if answer is None:
        deliveries.put_off(connection, name, taken, attempt.rest, now_us)
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
    deliveries.put_off(connection, name, taken, attempt.rest, due_us, **noted)


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
    return OUTCOMES[attempt.end] == deliveries.DEAD


def _key_of(attempt: Attempt) -> tuple[int, str]:
    return attempt.taken.message.outbox_id, attempt.destination.name
