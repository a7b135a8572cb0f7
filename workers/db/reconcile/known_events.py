"""Look up which events of the platform's history we know, and record those that were missing."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Select, Table, func, select

from workers.db.engine import insert_into
from workers.db.models import (
    conversation_messages,
    dead_letters,
    message_receipts,
    processed_events,
    reconciliation_gaps,
)
from workers.parsing import CONVERSATION_MESSAGE, EVENTBRIDGE, RECEIPT, Event

RECENT_EVENTS: Final = 1000
"""How many of the newest events show what a conversation without events of its own is like."""

_E: Final = processed_events.c
_M: Final = conversation_messages.c

_GAP: Final = insert_into(
    reconciliation_gaps,
    reconciliation_gaps.c.keys(),  # rows have the values of all columns, in the order of the table
    "ON CONFLICT (idempotency_key) DO UPDATE SET published_at = excluded.published_at",
)


def record_gaps(
    connection: Connection, reconciliation_id: int, gaps: Sequence[tuple[Event, str]], now_us: int
) -> None:
    """Record missing events that were published, with the message id of each; there must be at least one."""
    rows = [
        (
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
    ]
    _GAP.execute(connection, sorted(rows))


def find_processed_keys(connection: Connection, keys: Collection[str]) -> set[str]:
    """Return the keys that belong to processed events."""
    return _find_keys(connection, processed_events, keys)


def find_known_keys(connection: Connection, keys: Collection[str]) -> set[str]:
    """Return the keys that belong to events that were processed, dead-lettered or discarded."""
    return find_processed_keys(connection, keys) | _find_keys(connection, dead_letters, keys)


def find_known_gaps(connection: Connection, keys: Collection[str]) -> set[str]:
    """Return the keys that belong to gaps that were found before."""
    return _find_keys(connection, reconciliation_gaps, keys)


def _find_keys(connection: Connection, table: Table, keys: Collection[str]) -> set[str]:
    key = table.c.idempotency_key
    return set(connection.scalars(select(key).where(key.in_(sorted(keys)))))


def read_own_events(connection: Connection, conversation_id: str) -> Sequence[Any]:
    """Return key, type, dialect, source and time of a conversation's messages and receipts."""
    query = select(_E.idempotency_key, _E.event_type, _E.dialect, _E.source, _E.occurred_at)
    is_comparable = _E.event_type.in_((CONVERSATION_MESSAGE, RECEIPT))
    return connection.execute(query.where(_E.conversation_id == conversation_id, is_comparable)).all()


@dataclass(frozen=True, slots=True)
class DialectProfile:
    """How a conversation's events are notified.

    Args:
        dialect: Dialect of its newest event, else of the newest event of any conversation; None if there is
            none. Detail events do not count: they accompany either dialect.
        has_ids: Whether all its messages (else the newest messages of any conversation) came with an id.
        has_receipts: Whether any receipt was ever notified. The history may have receipts that are not.
    """

    dialect: str | None
    has_ids: bool
    has_receipts: bool = True


def read_dialect_profile(connection: Connection, conversation_id: str) -> DialectProfile:
    """Return how a conversation's events have been notified so far."""
    own = select(_E.id, _E.dialect).where(_E.conversation_id == conversation_id)
    recent = select(_E.id, _E.dialect).order_by(_E.id.desc()).limit(RECENT_EVENTS)
    own_messages = select(_M.platform_message_id).where(_M.conversation_id == conversation_id)
    latest = select(_M.platform_message_id).order_by(_M.event_id.desc()).limit(RECENT_EVENTS)
    has_ids = _have_ids(connection, own_messages)
    dialect = _read_dialect(connection, own) or _read_dialect(connection, recent)
    receipt = connection.scalar(select(message_receipts.c.event_id).limit(1))
    has_ids = _have_ids(connection, latest) if has_ids is None else has_ids
    return DialectProfile(dialect, bool(has_ids), has_receipts=receipt is not None)


def _have_ids(connection: Connection, messages: Select[tuple[str | None]]) -> bool | None:
    """Return whether all messages have an id; None if there are no messages."""
    ids = messages.subquery().c.platform_message_id
    total, with_id = connection.execute(select(func.count(), func.count(ids)).select_from(ids.table)).one()
    return total == with_id if total else None


def _read_dialect(connection: Connection, events: Select[tuple[int, str]]) -> str | None:
    candidates = events.subquery().c
    query = select(candidates.dialect).where(candidates.dialect != EVENTBRIDGE)
    return connection.execute(query.order_by(candidates.id.desc()).limit(1)).scalar_one_or_none()
