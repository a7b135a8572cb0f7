"""Look up which events of the platform's history we know, and record those that we do not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, select

from workers.db.engine import insert_into
from workers.db.models import (
    conversation_messages,
    dead_letters,
    message_receipts,
    processed_events,
    reconciliation_gaps,
)
from workers.parsing import CONVERSATION_MESSAGE, EVENTBRIDGE, RECEIPT

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy import Connection, Select

    from workers.parsing import Event

RECENT_EVENTS: Final = 1000
"""Among these, the usual dialect is looked up for a conversation that shows none itself."""

_E: Final = processed_events.c
_M: Final = conversation_messages.c

_GAP: Final = insert_into(
    reconciliation_gaps,
    (
        "idempotency_key",
        "reconciliation_id",
        "conversation_id",
        "event_type",
        "platform_message_id",
        "occurred_at",
        "found_at",
        "published_at",
        "message_id",
    ),
    "ON CONFLICT (idempotency_key) DO UPDATE SET published_at = excluded.published_at",
)


def note_gaps(
    connection: Connection, reconciliation_id: int, gaps: Sequence[tuple[Event, str]], now_us: int
) -> None:
    """Record events that were missing and have been published; each with its copy's message id."""
    rows = {
        event.idempotency_key: (
            event.idempotency_key,
            reconciliation_id,
            event.conversation_id,
            event.event_type,
            event.platform_message_id,
            event.occurred_at_us,
            now_us,
            now_us,
            message_id,
        )
        for event, message_id in gaps
    }
    if rows:
        _GAP.execute(connection, [rows[key] for key in sorted(rows)])


def processed_keys(connection: Connection, keys: Collection[str]) -> set[str]:
    """Return which of the keys are those of processed events."""
    return set(connection.scalars(select(_E.idempotency_key).where(_E.idempotency_key.in_(sorted(keys)))))


def known_keys(connection: Connection, keys: Collection[str]) -> set[str]:
    """Return which of the keys are those of events that were processed, dead-lettered or discarded."""
    dead = dead_letters.c.idempotency_key
    return processed_keys(connection, keys) | set(
        connection.scalars(select(dead).where(dead.in_(sorted(keys))))
    )


def known_gaps(connection: Connection, keys: Collection[str]) -> set[str]:
    """Return which of the keys are those of gaps that were found before."""
    key = reconciliation_gaps.c.idempotency_key
    return set(connection.scalars(select(key).where(key.in_(sorted(keys)))))


def own_events(connection: Connection, conversation_id: str) -> Sequence[Any]:
    """Return key, type, dialect, source and time of a conversation's messages and receipts."""
    query = select(_E.idempotency_key, _E.event_type, _E.dialect, _E.source, _E.occurred_at)
    types = (CONVERSATION_MESSAGE, RECEIPT)
    return connection.execute(
        query.where(_E.conversation_id == conversation_id, _E.event_type.in_(types))
    ).all()


@dataclass(frozen=True, slots=True)
class Manner:
    """How a conversation's events are notified.

    Args:
        dialect: Of its newest event, else of the newest of any; None if there is none. Detail events
            do not count: they come beside either dialect.
        has_ids: Whether its messages, or the newest of any if it has none, all came with an id.
        has_receipts: Whether any receipt was ever notified: the history may have some that are not.
    """

    dialect: str | None
    has_ids: bool
    has_receipts: bool = True


def manner_of(connection: Connection, conversation_id: str) -> Manner:
    """Return how a conversation's events have been notified so far."""
    own = select(_E.id, _E.dialect).where(_E.conversation_id == conversation_id)
    recent = select(_E.id, _E.dialect).order_by(_E.id.desc()).limit(RECENT_EVENTS)
    said = select(_M.platform_message_id).where(_M.conversation_id == conversation_id)
    latest = select(_M.platform_message_id).order_by(_M.event_id.desc()).limit(RECENT_EVENTS)
    has_ids = _all_have_ids(connection, said)
    return Manner(
        _dialect_of(connection, own) or _dialect_of(connection, recent),
        bool(_all_have_ids(connection, latest) if has_ids is None else has_ids),
        connection.execute(select(message_receipts.c.event_id).limit(1)).first() is not None,
    )


def _all_have_ids(connection: Connection, messages: Select[tuple[str | None]]) -> bool | None:
    """Return whether all of some messages came with an id; None if there are none."""
    ids = messages.subquery().c.platform_message_id
    said, identified = connection.execute(select(func.count(), func.count(ids)).select_from(ids.table)).one()
    return said == identified if said else None


def _dialect_of(connection: Connection, events: Select[tuple[int, str]]) -> str | None:
    """Return by which dialect the newest of some events was notified."""
    some = events.subquery().c
    newest = select(some.dialect).where(some.dialect != EVENTBRIDGE).order_by(some.id.desc()).limit(1)
    return connection.execute(newest).scalar_one_or_none()
