"""Record operators' interventions, and find the dead letters that they decide about."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, func, insert, or_, select, true, update

from workers.db.models import dead_letters, discarded_dead_letters, interventions
from workers.parsing import moment_of


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


def encode_selection(selected: Any) -> str:
    """Return a filter, a dataclass, as JSON for the record of an intervention, without its empty fields."""
    return json.dumps({name: value for name, value in asdict(selected).items() if value}, default=str)


def begin_intervention(connection: Connection, values: Mapping[str, object]) -> None:
    """Record that an operator's intervention begins, with the values of its columns."""
    connection.execute(insert(interventions).values(values))


def update_intervention(connection: Connection, intervention_id: str, values: Mapping[str, object]) -> None:
    """Record an intervention's progress, or how it ended."""
    statement = update(interventions).where(interventions.c.intervention_id == intervention_id)
    connection.execute(statement.values(values))


_D: Final = dead_letters.c
_SHOWN: Final = (
    *(_D.message_id, _D.code, _D.reason, _D.event_type, _D.conversation_id, _D.destination, _D.source),
    *(_D.recorded_at, _D.attempts, _D.received_at),
)


@dataclass(frozen=True, slots=True)
class DeadLetterFilter:
    """Selects dead letters; an empty field matches all.

    Args:
        types: Event types, whole or only the last part.
        since: Recorded at this time or later, and before `until`.
        with_destinations: Include events that a destination did not accept; intake has processed them.
    """

    message_ids: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    conversations: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    with_destinations: bool = True

    def condition(self) -> ColumnElement[bool]:
        """Return the filter as SQL."""
        conditions: list[ColumnElement[bool]] = [true()]
        if self.message_ids:
            conditions.append(_D.message_id.in_(self.message_ids))
        if self.codes:
            conditions.append(_D.code.in_(self.codes))
        if self.types:
            last_parts = [_D.event_type.endswith(f":{part}", autoescape=True) for part in self.types]
            conditions.append(or_(_D.event_type.in_(self.types), *last_parts))
        if self.conversations:
            conditions.append(_D.conversation_id.in_(self.conversations))
        if self.since is not None:
            conditions.append(_D.recorded_at >= self.since)
        if self.until is not None:
            conditions.append(_D.recorded_at < self.until)
        if not self.with_destinations:
            conditions.append(_D.destination.is_(None))
        return and_(*conditions)


def list_open_dead_letters(
    connection: Connection, selected: DeadLetterFilter, limit: int | None
) -> list[Row[Any]]:
    """Return the selected dead letters that are neither replayed nor discarded, the oldest first."""
    query: Select[Any] = select(*_SHOWN).where(_D.decided_at.is_(None), selected.condition())
    return list(connection.execute(query.order_by(_D.recorded_at, _D.message_id).limit(limit)))


def count_open_dead_letters(
    connection: Connection, selected: DeadLetterFilter
) -> list[tuple[str, str | None, int]]:
    """Return code, event type and number of the selected open dead letters, the most frequent first."""
    query = (
        select(_D.code, _D.event_type, func.count())
        .where(_D.decided_at.is_(None), selected.condition())
        .group_by(_D.code, _D.event_type)
        .order_by(func.count().desc(), _D.code, _D.event_type)
    )
    return [(code, event_type, count) for code, event_type, count in connection.execute(query)]


def find_dead_letter(connection: Connection, message_id: str) -> Row[Any] | None:
    """Return the record of one dead letter, open or not."""
    query: Select[Any] = select(*_SHOWN, _D.decided_at, _D.intervention_id).where(_D.message_id == message_id)
    return connection.execute(query).one_or_none()


def match_dead_letters(
    connection: Connection, message_ids: Sequence[str], selected: DeadLetterFilter
) -> dict[str, tuple[str | None, bool]]:
    """Return the intervention of each matching dead letter, and whether it was carried out."""
    query = select(_D.message_id, _D.intervention_id, _D.decided_at.is_not(None)).where(
        _D.message_id.in_(message_ids), selected.condition()
    )
    return {message_id: (intervention, done) for message_id, intervention, done in connection.execute(query)}


def record_decision(
    connection: Connection, message_ids: Sequence[str], intervention_id: str
) -> dict[str, str]:
    """Record an operator's decision on dead letters before it is carried out; return each one's decision.

    An earlier decision stays. So a replay that was killed between publishing and removing is the same replay
    when it is repeated.
    """
    statement = (
        update(dead_letters)
        .where(_D.message_id.in_(sorted(message_ids)))
        .values(intervention_id=func.coalesce(_D.intervention_id, intervention_id))
        .returning(_D.message_id, _D.intervention_id)
    )
    return {row.message_id: row.intervention_id for row in connection.execute(statement)}


def record_execution(connection: Connection, message_ids: Sequence[str], now_us: int) -> None:
    """Record that the decisions about these dead letters are carried out.

    If an event was dead-lettered again meanwhile, its decision has been removed, and it stays open.
    """
    decided = _D.message_id.in_(sorted(message_ids)) & _D.intervention_id.is_not(None)
    connection.execute(update(dead_letters).where(decided).values(decided_at=moment_of(now_us)))


def keep_discarded(
    connection: Connection, bodies: Mapping[str, bytes], intervention_id: str, now_us: int
) -> None:
    """Keep the bodies of dead letters that are about to be discarded, by message id."""
    columns = {"intervention_id": intervention_id, "discarded_at": moment_of(now_us)}
    rows = [columns | {"message_id": message_id, "body": body} for message_id, body in bodies.items()]
    if rows:
        connection.execute(insert(discarded_dead_letters), rows)
