"""Find the conversations to compare with the platform's, and record what was found in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import false, func, or_, select, true, union

from workers.parsing import EVENTBRIDGE
from workers.tables.database import insert_into
from workers.tables.models import (
    conversation_messages,
    conversations,
    dead_letters,
    platform_conversations,
    processed_events,
    reconciliation_gaps,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Select

    from workers.parsing import Event

STATE_OPEN: Final = "open"
STATE_ENDED: Final = "ended"
STATE_UNKNOWN: Final = "unknown"

RECENT_EVENTS: Final = 1000
"""Among which a dialect is looked for where the conversation shows none: there may be detail events alone."""

_P: Final = platform_conversations.c
_C: Final = conversations.c

_LIST: Final = insert_into(
    platform_conversations,
    ("conversation_id", "listed_at"),
    "ON CONFLICT (conversation_id) DO NOTHING",
    state=f"'{STATE_OPEN}'",
)
_READ: Final = insert_into(
    platform_conversations,
    ("conversation_id", "state", "listed_at", "read_at", "fingerprint"),
    """
    ON CONFLICT (conversation_id) DO UPDATE SET
        state = excluded.state, read_at = excluded.read_at, fingerprint = excluded.fingerprint
    """,
)
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


@dataclass(frozen=True, slots=True)
class KnownConversation:
    """A conversation to compare.

    Args:
        conversation_id: The platform's.
        fingerprint: What was read last; None where that was not complete.
    """

    conversation_id: str
    fingerprint: str | None


def list_conversations(connection: Connection, ids: Collection[str], now_us: int) -> None:
    """Record conversations that the platform has; known ones stay as they are."""
    if ids:
        _LIST.execute(connection, [(each, now_us) for each in sorted(ids)])


def conversations_to_compare(
    connection: Connection, after: str, active_since: datetime, most: int, *, again: bool = False
) -> list[KnownConversation]:
    """Return the next conversations by id: ours and the platform's, but those that are compared to their end.

    Args:
        connection: In a transaction.
        after: The id before the first.
        active_since: What has had no event since then is left out, and what was listed before.
        most: So many.
        again: Those that are compared to their end as well.
    """
    everything = true() if again else false()
    joined = conversations.outerjoin(platform_conversations, _P.conversation_id == _C.conversation_id)
    ours = (
        select(_C.conversation_id, _P.fingerprint)
        .select_from(joined)
        .where(
            _C.conversation_id > after,
            _C.last_event_at >= active_since,
            or_(everything, _P.state.is_(None), _P.state == STATE_OPEN, _C.updated_at > _P.read_at),
        )
        .order_by(_C.conversation_id)
        .limit(most)
        .subquery()
    )
    listed = (
        select(_P.conversation_id, _P.fingerprint)
        .where(
            _P.conversation_id > after, or_(everything, _P.state == STATE_OPEN), _P.listed_at >= active_since
        )
        .order_by(_P.conversation_id)
        .limit(most)
        .subquery()
    )
    both = union(select(ours), select(listed)).subquery()
    query = select(both).order_by(both.c.conversation_id).limit(most)
    return [KnownConversation(*row) for row in connection.execute(query)]


def note_conversation(
    connection: Connection, conversation_id: str, state: str, fingerprint: str | None, read_at_us: int
) -> None:
    """Record that a conversation was compared, as it was when the reading began."""
    _READ.execute(connection, [(conversation_id, state, read_at_us, read_at_us, fingerprint)])


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
    key = processed_events.c.idempotency_key
    return set(connection.scalars(select(key).where(key.in_(sorted(keys)))))


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


@dataclass(frozen=True, slots=True)
class Manner:
    """How a conversation's events are notified.

    Args:
        dialect: Of its newest event, else of the newest of any; None where there is none. Detail events
            do not count: they come beside either dialect.
        has_ids: Whether it has messages, and each of them came with an id.
    """

    dialect: str | None
    has_ids: bool


def manner_of(connection: Connection, conversation_id: str) -> Manner:
    """Return how a conversation's events have been notified so far."""
    events, messages = processed_events.c, conversation_messages.c
    own = select(events.id, events.dialect).where(events.conversation_id == conversation_id)
    recent = select(events.id, events.dialect).order_by(events.id.desc()).limit(RECENT_EVENTS)
    counts = select(func.count(), func.count(messages.platform_message_id)).where(
        messages.conversation_id == conversation_id
    )
    said, identified = connection.execute(counts).one()
    return Manner(_dialect_of(connection, own) or _dialect_of(connection, recent), 0 < said == identified)


def _dialect_of(connection: Connection, events: Select[tuple[int, str]]) -> str | None:
    """Return by which dialect the newest of some events was notified."""
    some = events.subquery().c
    newest = select(some.dialect).where(some.dialect != EVENTBRIDGE).order_by(some.id.desc()).limit(1)
    return connection.execute(newest).scalar_one_or_none()
