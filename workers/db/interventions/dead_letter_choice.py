"""Choose among the records of dead letters."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import ColumnElement, and_, func, or_, select, true

from workers.db.models import dead_letters

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Row, Select

_L: Final = dead_letters.c
_SHOWN: Final = (
    *(_L.message_id, _L.code, _L.reason, _L.event_type, _L.conversation_id, _L.destination, _L.source),
    *(_L.recorded_at, _L.attempts, _L.received_at),
)


@dataclass(frozen=True, slots=True)
class LetterChoice:
    """Which dead letters; an empty field chooses all.

    Args:
        message_ids: These.
        codes: With one of these codes.
        types: Of one of these event types, whole or its last word.
        conversations: Of one of these conversations.
        since: Recorded then or later.
        until: Recorded before.
        with_destinations: Also those that a destination did not accept. Intake has processed their events.
    """

    message_ids: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    conversations: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    with_destinations: bool = True

    def as_json(self) -> str:
        """Return it for the record of an intervention."""
        return json.dumps({name: value for name, value in asdict(self).items() if value}, default=str)

    def condition(self) -> ColumnElement[bool]:
        """Return it as SQL."""
        conditions: list[ColumnElement[bool]] = [true()]
        if self.message_ids:
            conditions.append(_L.message_id.in_(self.message_ids))
        if self.codes:
            conditions.append(_L.code.in_(self.codes))
        if self.types:
            last_words = [_L.event_type.endswith(f":{word}", autoescape=True) for word in self.types]
            conditions.append(or_(_L.event_type.in_(self.types), *last_words))
        if self.conversations:
            conditions.append(_L.conversation_id.in_(self.conversations))
        if self.since is not None:
            conditions.append(_L.recorded_at >= self.since)
        if self.until is not None:
            conditions.append(_L.recorded_at < self.until)
        if not self.with_destinations:
            conditions.append(_L.destination.is_(None))
        return and_(*conditions)


def open_letters(connection: Connection, choice: LetterChoice, most: int | None) -> list[Row[Any]]:
    """Return the chosen dead letters that are neither replayed nor discarded, the oldest first."""
    query: Select[Any] = select(*_SHOWN).where(_L.decided_at.is_(None), choice.condition())
    rows: list[Row[Any]] = list(connection.execute(query.order_by(_L.recorded_at, _L.message_id).limit(most)))
    return rows


def count_open_letters(connection: Connection, choice: LetterChoice) -> list[tuple[str, str | None, int]]:
    """Return how many of each code and event type are open, the most frequent first."""
    query = (
        select(_L.code, _L.event_type, func.count())
        .where(_L.decided_at.is_(None), choice.condition())
        .group_by(_L.code, _L.event_type)
        .order_by(func.count().desc(), _L.code, _L.event_type)
    )
    return [(code, event_type, count) for code, event_type, count in connection.execute(query)]


def recorded_letter(connection: Connection, message_id: str) -> Row[Any] | None:
    """Return the record of one dead letter, open or not."""
    query: Select[Any] = select(*_SHOWN, _L.decided_at, _L.intervention_id).where(_L.message_id == message_id)
    row: Row[Any] | None = connection.execute(query).one_or_none()
    return row


def recorded_among(connection: Connection, message_ids: Sequence[str]) -> set[str]:
    """Return which of these have a record."""
    return set(connection.scalars(select(_L.message_id).where(_L.message_id.in_(message_ids))))


def chosen_among(
    connection: Connection, message_ids: Sequence[str], choice: LetterChoice
) -> dict[str, tuple[str | None, bool]]:
    """Return of which of these the choice holds: their intervention, and whether it was carried out."""
    query = select(_L.message_id, _L.intervention_id, _L.decided_at.is_not(None)).where(
        _L.message_id.in_(message_ids), choice.condition()
    )
    return {message_id: (intervention, done) for message_id, intervention, done in connection.execute(query)}
