"""Find processed events whose bodies are still stored, so that operators can replay them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, and_, func, or_, select

from workers.db.interventions import Action
from workers.db.models import event_payloads, interventions, processed_events

_E: Final = processed_events.c
_P: Final = event_payloads.c


@dataclass(frozen=True, slots=True)
class PastEventFilter:
    """Selects processed events. An empty field matches all events.

    Args:
        event_type: The whole event type, or only its last part.
        since: Select events received at this time or later, and before `until`, by the edge's clock.
        through: The highest `processed_events.id` when the replay began.
    """

    conversation: str | None = None
    event_type: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    through: int = 0

    @classmethod
    def from_json(cls, record: str) -> PastEventFilter:
        """Return the filter that `encode_selection` turned into *record*."""
        values = json.loads(record)
        times = {name: datetime.fromisoformat(values[name]) for name in ("since", "until") if name in values}
        return cls(**values | times)

    def condition(self) -> ColumnElement[bool]:
        """Return the SQL condition for the selected events."""
        conditions = [_E.id <= self.through]
        if self.conversation is not None:
            conditions.append(_E.conversation_id == self.conversation)
        if self.event_type is not None:
            last_part = _E.event_type.endswith(f":{self.event_type}", autoescape=True)
            conditions.append(or_(_E.event_type == self.event_type, last_part))
        if self.since is not None:
            # The index on processed_at excludes most blocks. An edge's clock can be ahead of the database's
            # clock, so an event can seem to have been processed before it was received.
            conditions += [_E.received_at >= self.since, _E.processed_at >= self.since - timedelta(days=1)]
        if self.until is not None:
            conditions.append(_E.received_at < self.until)
        return and_(*conditions)


def newest_event_id(connection: Connection) -> int:
    """Return the id of the newest processed event; 0 if there is none."""
    return connection.scalar(select(func.max(_E.id))) or 0


def count_past_events(connection: Connection, selected: PastEventFilter) -> dict[str, int]:
    """Return the number of selected events whose bodies are still stored, by event type."""
    query = select(_E.event_type, func.count()).join(event_payloads, _P.event_id == _E.id)
    query = query.where(selected.condition()).group_by(_E.event_type).order_by(func.count().desc())
    return {event_type: count for event_type, count in connection.execute(query)}  # noqa: C416  # mypy does not accept rows as pairs


def read_past_events(connection: Connection, selected: PastEventFilter, after: int, limit: int) -> list[Any]:
    """Return up to *limit* selected events with an id above *after*, in the order of their ids.

    Each event comes with the raw body of its request, which can contain several events.
    """
    query = select(_E.id, _E.message_id, _E.received_at, _P.body).join(event_payloads, _P.event_id == _E.id)
    query = query.where(selected.condition(), _E.id > after).order_by(_E.id).limit(limit)
    return list(connection.execute(query))


def find_unfinished_replay(connection: Connection, intervention_id: str) -> Row[Any] | None:
    """Return the record of an event replay that was cancelled or killed; None if there is none."""
    query = select(interventions).where(
        interventions.c.intervention_id == intervention_id,
        interventions.c.action == Action.REPLAY_EVENTS.value,
        interventions.c.outcome.is_distinct_from("done"),
    )
    return connection.execute(query).one_or_none()
