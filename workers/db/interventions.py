"""Record operators' interventions, and find the dead letters that an intervention concerns."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, func, literal, or_, select, true, update

from workers.db.models import dead_letters, discarded_dead_letters, interventions
from workers.parsing import moment_of


class Action(StrEnum):
    """The kind of an operator's decision, as recorded in `interventions.action`."""

    REPLAY_DEAD_LETTERS = "replay-dead-letters"
    DISCARD_DEAD_LETTERS = "discard-dead-letters"
    REPLAY_EVENTS = "replay-events"
    RESEND_DELIVERIES = "resend-deliveries"
    REMOVE_SUBSCRIPTIONS = "remove-subscriptions"
    BACKFILL_DELIVERIES = "backfill-deliveries"
    ABANDON_DELIVERIES = "abandon-deliveries"
    ERASE = "erase"


def encode_selection(selected: Any) -> str:
    """Return a filter (a dataclass) as JSON for an intervention's record; omit empty fields."""
    return json.dumps({name: value for name, value in asdict(selected).items() if value}, default=str)


def begin_intervention(connection: Connection, values: Mapping[str, object]) -> None:
    """Record the beginning of an operator's intervention; *values* maps columns to values."""
    connection.execute(interventions.insert().values(values))


def update_intervention(connection: Connection, intervention_id: str, values: Mapping[str, object]) -> None:
    """Record the progress or the end of an intervention."""
    statement = update(interventions).where(interventions.c.intervention_id == intervention_id)
    connection.execute(statement.values(values))


_D: Final = dead_letters.c
_SHOWN: Final = (
    *(_D.message_id, _D.code, _D.reason, _D.event_type, _D.conversation_id, _D.destination, _D.source),
    *(_D.recorded_at, _D.attempts, _D.received_at),
)


@dataclass(frozen=True, slots=True)
class DeadLetterFilter:
    """Selects dead letters. An empty field matches all dead letters.

    Args:
        types: Whole event types, or the last parts of event types.
        since: Select dead letters that were recorded at this time or later, and before `until`.
        with_destinations: Include events that a destination did not accept; intake has processed them.
        with_resent: Also include dead letters that were resent; their messages stay in the queue.
    """

    message_ids: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    conversations: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    with_destinations: bool = True
    with_resent: bool = False

    def open_condition(self) -> ColumnElement[bool]:
        """Return the SQL condition for the selected dead letters that are still waiting for a decision."""
        is_open: ColumnElement[bool] = _D.decided_at.is_(None)
        if self.with_resent:
            is_resend = interventions.c.action == Action.RESEND_DELIVERIES
            is_open |= _D.intervention_id.in_(select(interventions.c.intervention_id).where(is_resend))
        return is_open & self.condition()

    def condition(self) -> ColumnElement[bool]:
        """Return the SQL condition for the selected dead letters, whether decided or not."""
        last_parts = [_D.event_type.endswith(f":{part}", autoescape=True) for part in self.types]
        since, until = (literal(time, _D.recorded_at.type) for time in (self.since, self.until))
        conditions = (
            (self.message_ids, _D.message_id.in_(self.message_ids)),
            (self.codes, _D.code.in_(self.codes)),
            (self.types, or_(_D.event_type.in_(self.types), *last_parts)),
            (self.conversations, _D.conversation_id.in_(self.conversations)),
            (self.since, _D.recorded_at >= since),
            (self.until, _D.recorded_at < until),
            (not self.with_destinations, _D.destination.is_(None)),
        )
        return and_(true(), *(condition for is_given, condition in conditions if is_given))


def list_open_dead_letters(
    connection: Connection, selected: DeadLetterFilter, limit: int | None
) -> list[Row[Any]]:
    """Return the selected dead letters that were neither replayed nor discarded, oldest first."""
    query: Select[Any] = select(*_SHOWN).where(selected.open_condition())
    return list(connection.execute(query.order_by(_D.recorded_at, _D.message_id).limit(limit)))


def count_open_dead_letters(
    connection: Connection, selected: DeadLetterFilter
) -> list[tuple[str, str | None, int]]:
    """Count the selected open dead letters by code and event type; the most frequent come first."""
    kind, number = (_D.code, _D.event_type), func.count()
    query = select(*kind, number).where(selected.open_condition()).group_by(*kind)
    rows = connection.execute(query.order_by(number.desc(), *kind))
    return [(code, event_type, count) for code, event_type, count in rows]


def find_dead_letter(connection: Connection, message_id: str) -> Row[Any] | None:
    """Return the record of one dead letter, whether it is open or not; None if there is no record."""
    query: Select[Any] = select(*_SHOWN, _D.decided_at, _D.intervention_id).where(_D.message_id == message_id)
    return connection.execute(query).one_or_none()


def match_dead_letters(
    connection: Connection, message_ids: Sequence[str], selected: DeadLetterFilter
) -> dict[str, tuple[str | None, bool]]:
    """Return each selected dead letter's intervention, and whether that has been carried out."""
    query = select(_D.message_id, _D.intervention_id, _D.decided_at.is_not(None))
    rows = connection.execute(query.where(_D.message_id.in_(message_ids), selected.condition()))
    return {message_id: (intervention, done) for message_id, intervention, done in rows}


def record_decision(
    connection: Connection, message_ids: Sequence[str], intervention_id: str, *, is_replay: bool = False
) -> dict[str, str]:
    """Record a decision on dead letters before it is carried out; return each dead letter's intervention.

    A replay keeps an earlier decision: if a replay was killed between publishing and removing a dead letter,
    the repeated replay uses the same intervention id. A discard replaces the decision of an earlier resend.
    """
    decision = func.coalesce(_D.intervention_id, intervention_id) if is_replay else intervention_id
    decided_at = _D.decided_at if is_replay else None
    statement = update(dead_letters).values(intervention_id=decision, decided_at=decided_at)
    statement = statement.where(_D.message_id.in_(sorted(message_ids)))
    rows = connection.execute(statement.returning(_D.message_id, _D.intervention_id))
    return {row.message_id: row.intervention_id for row in rows}


def record_execution(connection: Connection, message_ids: Sequence[str], now_us: int) -> None:
    """Record that decisions were carried out. Dead letters without a decision stay open."""
    decided = _D.message_id.in_(sorted(message_ids)) & _D.intervention_id.is_not(None)
    connection.execute(update(dead_letters).where(decided).values(decided_at=moment_of(now_us)))


def keep_discarded(
    connection: Connection, bodies: Mapping[str, bytes], intervention_id: str, now_us: int
) -> None:
    """Store the bodies of dead letters that will be discarded next; *bodies* maps message ids to bodies."""
    columns = {"intervention_id": intervention_id, "discarded_at": moment_of(now_us)}
    if rows := [columns | {"message_id": message_id, "body": body} for message_id, body in bodies.items()]:
        connection.execute(discarded_dead_letters.insert(), rows)
