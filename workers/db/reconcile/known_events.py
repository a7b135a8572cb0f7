"""Look up which events in the platform's history are recorded here, and record the missing events."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final

from sqlalchemy import Connection, Select, Table, func, select

from workers.db import models
from workers.db.engine import insert_into
from workers.parsing import CONVERSATION_MESSAGE, EVENTBRIDGE, RECEIPT, Event

RECENT_EVENTS: Final = 1000
"""How many of the newest events or messages set the profile of a conversation that has none of its own."""

MAX_KEYS: Final = 10_000
"""Number of keys in one statement. PostgreSQL permits 65,535 parameters, and SQLite permits 32,766."""

_E: Final = models.processed_events.c
_M: Final = models.conversation_messages.c

_COPIED: Final = ("idempotency_key", "conversation_id", "event_type", "platform_message_id")
_get_copied: Final = attrgetter(*_COPIED)

_GAP: Final = insert_into(
    models.reconciliation_gaps,
    (*_COPIED, "occurred_at", "reconciliation_id", "found_at", "published_at", "message_id"),
    "ON CONFLICT (idempotency_key) DO UPDATE SET published_at = excluded.published_at",
)


def record_gaps(
    connection: Connection, reconciliation_id: int, gaps: Sequence[tuple[Event, str]], now_us: int
) -> None:
    """Record missing events that were published; *gaps* pairs each event with the message id of its copy."""
    common = (reconciliation_id, now_us, now_us)
    rows = [(*_get_copied(event), event.occurred_at_us, *common, message_id) for event, message_id in gaps]
    _GAP.execute(connection, sorted(rows))


def find_processed_keys(connection: Connection, keys: Collection[str]) -> set[str]:
    """Return the keys that belong to processed events."""
    return _find_keys(connection, models.processed_events, keys)


def find_known_keys(connection: Connection, keys: Collection[str]) -> set[str]:
    """Return the keys whose events were processed, dead-lettered or discarded."""
    return find_processed_keys(connection, keys) | _find_keys(connection, models.dead_letters, keys)


def find_known_gaps(connection: Connection, keys: Collection[str]) -> set[str]:
    """Return the keys of gaps that an earlier comparison found."""
    return _find_keys(connection, models.reconciliation_gaps, keys)


def _find_keys(connection: Connection, table: Table, keys: Collection[str]) -> set[str]:
    key, wanted, found = table.c.idempotency_key, sorted(keys), set[str]()
    for start in range(0, len(wanted), MAX_KEYS):
        found.update(connection.scalars(select(key).where(key.in_(wanted[start : start + MAX_KEYS]))))
    return found


def read_own_events(connection: Connection, conversation_id: str) -> Sequence[Any]:
    """Return the key, type, dialect, source and time of a conversation's recorded messages and receipts."""
    query = select(_E.idempotency_key, _E.event_type, _E.dialect, _E.source, _E.occurred_at)
    is_comparable = _E.event_type.in_((CONVERSATION_MESSAGE, RECEIPT))
    return connection.execute(query.where(_E.conversation_id == conversation_id, is_comparable)).all()


@dataclass(frozen=True, slots=True)
class DialectProfile:
    """How the platform notifies this service of a conversation's events.

    Args:
        dialect: Dialect of the conversation's newest event or, if it has none, of the newest recorded event;
            None if there is none. Detail events do not count, because they occur with either dialect.
        has_ids: Whether all its messages have an id; if it has no messages, the newest recorded ones decide.
        has_receipts: Whether a receipt was ever recorded. If not, receipts do not count as missing.
    """

    dialect: str | None
    has_ids: bool
    has_receipts: bool = True


def read_dialect_profile(connection: Connection, conversation_id: str) -> DialectProfile:
    """Return how the platform has so far notified this service of a conversation's events."""
    own = select(_E.id, _E.dialect).where(_E.conversation_id == conversation_id)
    recent = select(_E.id, _E.dialect).order_by(_E.id.desc()).limit(RECENT_EVENTS)
    own_messages = select(_M.platform_message_id).where(_M.conversation_id == conversation_id)
    latest = select(_M.platform_message_id).order_by(_M.event_id.desc()).limit(RECENT_EVENTS)
    has_ids = _have_ids(connection, own_messages)
    dialect = _read_dialect(connection, own) or _read_dialect(connection, recent)
    receipt = connection.scalar(select(models.message_receipts.c.event_id).limit(1))
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
