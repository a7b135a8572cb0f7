"""Find events that were processed, with their bodies, to run them again."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, and_, func, or_, select

from workers.db.models import event_payloads, interventions, processed_events
from workers.parsing import microseconds_of

if TYPE_CHECKING:
    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class PastChoice:
    """Which events; what is empty does not matter.

    Args:
        conversation: Of this conversation.
        event_type: Of this event type, whole or its last word.
        since: Received then or later, by the edge's clock.
        until: Received before.
        through: The cut-off: `processed_events.id` of the newest one at the beginning.
    """

    conversation: str | None = None
    event_type: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    through: int = 0

    def as_json(self) -> str:
        """Return it for the record."""
        return json.dumps({name: value for name, value in asdict(self).items() if value}, default=str)

    @classmethod
    def of_json(cls, record: str) -> PastChoice:
        """Return what `as_json` put on record."""
        values = json.loads(record)
        moments = {
            name: datetime.fromisoformat(values[name]) for name in ("since", "until") if name in values
        }
        return cls(**values | moments)

    def condition(self) -> ColumnElement[bool]:
        """Return it as SQL."""
        events = processed_events.c
        conditions = [events.id <= self.through]
        if self.conversation is not None:
            conditions.append(events.conversation_id == self.conversation)
        if self.event_type is not None:
            last_word = events.event_type.like("%:" + self.event_type.replace("%", ""))
            conditions.append(or_(events.event_type == self.event_type, last_word))
        if self.since is not None:
            # Nothing is processed before it is received; the index by processed_at then spares most blocks.
            conditions += [events.received_at >= self.since, events.processed_at >= self.since]
        if self.until is not None:
            conditions.append(events.received_at < self.until)
        return and_(*conditions)


@dataclass(frozen=True, slots=True)
class PastEvent:
    """An event with its body.

    Args:
        event_id: `processed_events.id`.
        message_id: The accepted request.
        received_at_us: When the edge had read it.
        body: The request's body, byte for byte; it may hold several events.
    """

    event_id: int
    message_id: str
    received_at_us: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A replay of events that is not done.

    Args:
        choice: Which events.
        again: Whether they were to take effect once more.
        chosen: How many were chosen.
        done: How many are done at least.
        through: The last of them; 0 for none.
    """

    choice: PastChoice
    again: bool
    chosen: int
    done: int
    through: int


def newest_event_id(connection: Connection) -> int:
    """Return the id of the newest event; 0 where there is none."""
    return connection.execute(select(func.max(processed_events.c.id))).scalar_one() or 0


def count_past_events(connection: Connection, choice: PastChoice) -> dict[str, int]:
    """Return how many events are chosen whose bodies are still there, by type."""
    query = (
        select(processed_events.c.event_type, func.count())
        .join(event_payloads, event_payloads.c.event_id == processed_events.c.id)
        .where(choice.condition())
        .group_by(processed_events.c.event_type)
        .order_by(func.count().desc())
    )
    return {event_type: count for event_type, count in connection.execute(query)}  # noqa: C416  # rows are no pairs to mypy


def past_events(connection: Connection, choice: PastChoice, after: int, most: int) -> list[PastEvent]:
    """Return the chosen events behind *after*, in the order of their ids, at most so many."""
    events = processed_events.c
    query = (
        select(events.id, events.message_id, events.received_at, event_payloads.c.body)
        .join(event_payloads, event_payloads.c.event_id == events.id)
        .where(choice.condition(), events.id > after)
        .order_by(events.id)
        .limit(most)
    )
    return [
        PastEvent(event_id, message_id, microseconds_of(received_at), bytes(body))
        for event_id, message_id, received_at, body in connection.execute(query)
    ]


def unfinished_replay(connection: Connection, intervention_id: str, action: str) -> Unfinished | None:
    """Return a replay of events that was cancelled or killed; None where there is none of this id."""
    query = select(interventions).where(
        interventions.c.intervention_id == intervention_id,
        interventions.c.action == action,
        interventions.c.outcome.is_distinct_from("done"),
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    choice = PastChoice.of_json(row.selection)
    return Unfinished(choice, row.again, row.chosen, row.done, row.through or 0)
