"""Record an operator's intervention: who, why, on what, and how far it came."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from sqlalchemy import insert, update

from workers.db.models import interventions
from workers.parsing import moment_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

OPERATOR_SESSION: Final[Mapping[str, str]] = {"lock_timeout": "10s"}
"""PostgreSQL's settings for an operator's session: a search may read a whole table without a time limit."""


class Action(StrEnum):
    """What an operator decided, as recorded in `interventions.action`."""

    REPLAY_DEAD_LETTERS = "replay-dead-letters"
    DISCARD_DEAD_LETTERS = "discard-dead-letters"
    REPLAY_EVENTS = "replay-events"
    RESEND_DELIVERIES = "resend-deliveries"
    REMOVE_SUBSCRIPTIONS = "remove-subscriptions"
    BACKFILL_DELIVERIES = "backfill-deliveries"
    ABANDON_DELIVERIES = "abandon-deliveries"
    ERASE = "erase"


@dataclass(frozen=True, slots=True)
class Intervention:
    """An operator's decision.

    Args:
        intervention_id: Random, hexadecimal.
        action: What is done.
        operator: The operating system's user and host.
        reason: Why, in the operator's words.
        selection: What was selected, as JSON without content.
        again: Whether events that took effect take effect once more.
        chosen: The number of items selected.
    """

    intervention_id: str
    action: Action
    operator: str
    reason: str
    selection: str
    again: bool
    chosen: int


def begin_intervention(connection: Connection, intervention: Intervention, now_us: int) -> None:
    """Record that an intervention begins."""
    connection.execute(
        insert(interventions).values(
            intervention_id=intervention.intervention_id,
            action=intervention.action.value,
            person=intervention.operator,
            reason=intervention.reason,
            selection=intervention.selection,
            again=intervention.again,
            chosen=intervention.chosen,
            started_at=moment_of(now_us),
        )
    )


def record_progress(connection: Connection, intervention_id: str, done: int, last_id: int | None) -> None:
    """Record how many items are done in all and, for a replay of events, the id of the last one."""
    _update(connection, intervention_id, done=done, through=last_id)


def end_intervention(
    connection: Connection, intervention_id: str, done: int, *, is_cancelled: bool, now_us: int
) -> None:
    """Record how an intervention ended."""
    outcome = "cancelled" if is_cancelled else "done"
    _update(connection, intervention_id, done=done, outcome=outcome, ended_at=moment_of(now_us))


def _update(connection: Connection, intervention_id: str, **values: object) -> None:
    statement = update(interventions).where(interventions.c.intervention_id == intervention_id)
    connection.execute(statement.values(**values))
