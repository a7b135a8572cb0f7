"""Put on record what people decide about events and dead letters, and find what they decide about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import func, insert, update

from workers.db.models import dead_letters, discarded_letters, interventions
from workers.parsing import moment_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection, Update

REPLAY_LETTERS: Final = "replay-letters"
DISCARD_LETTERS: Final = "discard-letters"
REPLAY_EVENTS: Final = "replay-events"
RESEND_DELIVERIES: Final = "resend-deliveries"
REMOVE_SUBSCRIPTIONS: Final = "remove-subscriptions"
BACKFILL_DELIVERIES: Final = "backfill-deliveries"
ABANDON_DELIVERIES: Final = "abandon-deliveries"
ERASE: Final = "erase"

DONE: Final = "done"
CANCELLED: Final = "cancelled"

OPERATOR_SESSION: Final[Mapping[str, str]] = {"lock_timeout": "10s"}
"""What a person's statements run under in PostgreSQL: a search may read a whole table."""


@dataclass(frozen=True, slots=True)
class Intervention:
    """What a person decided.

    Args:
        intervention_id: Hexadecimal, drawn at random.
        action: REPLAY_LETTERS or another of the words above.
        person: The operating system's user and host.
        reason: Why, in that person's words.
        selection: What was chosen, as JSON.
        again: Whether events that took effect were to take effect once more.
        chosen: How many were chosen.
    """

    intervention_id: str
    action: str
    person: str
    reason: str
    selection: str
    again: bool
    chosen: int


def begin_intervention(connection: Connection, intervention: Intervention, now_us: int) -> None:
    """Put on record that a person begins."""
    columns = {name: getattr(intervention, name) for name in Intervention.__dataclass_fields__}
    connection.execute(insert(interventions).values(**columns, started_at=moment_of(now_us)))


def note_progress(
    connection: Connection, intervention_id: str, done: int, *, through: int | None = None
) -> None:
    """Put on record how far it is.

    Args:
        connection: In a transaction.
        intervention_id: Which.
        done: How many in all.
        through: Of a replay of events: the last one's id.
    """
    connection.execute(_of(intervention_id).values(done=done, through=through))


def end_intervention(
    connection: Connection, intervention_id: str, done: int, *, is_cancelled: bool, now_us: int
) -> None:
    """Put on record how it ended."""
    outcome = CANCELLED if is_cancelled else DONE
    connection.execute(_of(intervention_id).values(done=done, outcome=outcome, ended_at=moment_of(now_us)))


def decide(connection: Connection, message_ids: Sequence[str], intervention_id: str) -> dict[str, str]:
    """Record an operator's decision about dead letters before it is carried out.

    Returns:
        The intervention of each: an earlier one stays, so that a replay that was killed between publishing
        and removing is the same replay when it is repeated.
    """
    statement = (
        update(dead_letters)
        .where(dead_letters.c.message_id.in_(sorted(message_ids)))
        .values(intervention_id=func.coalesce(dead_letters.c.intervention_id, intervention_id))
        .returning(dead_letters.c.message_id, dead_letters.c.intervention_id)
    )
    return {row.message_id: row.intervention_id for row in connection.execute(statement)}


def note_carried_out(connection: Connection, message_ids: Sequence[str], now_us: int) -> None:
    """Record that the decisions about these dead letters are carried out.

    A letter that died again meanwhile has no decision any more, and stays open.
    """
    connection.execute(
        update(dead_letters)
        .where(
            dead_letters.c.message_id.in_(sorted(message_ids)), dead_letters.c.intervention_id.is_not(None)
        )
        .values(decided_at=moment_of(now_us))
    )


def keep_discarded(
    connection: Connection, bodies: Mapping[str, bytes], intervention_id: str, now_us: int
) -> None:
    """Keep the bodies of letters that are about to be discarded, by message id."""
    rows = [
        {
            "message_id": message_id,
            "intervention_id": intervention_id,
            "discarded_at": moment_of(now_us),
            "body": body,
        }
        for message_id, body in bodies.items()
    ]
    if rows:
        connection.execute(insert(discarded_letters), rows)


def _of(intervention_id: str) -> Update:
    return update(interventions).where(interventions.c.intervention_id == intervention_id)
