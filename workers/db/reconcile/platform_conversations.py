"""Choose the conversations to compare with the platform's, and record how far each one is compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, func, or_, select, text, union

from workers.db.engine import insert_into
from workers.db.models import (
    conversation_messages,
    conversations,
    message_receipts,
    platform_conversations,
    processed_events,
)
from workers.parsing import moment_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection

STATE_OPEN: Final = "open"
STATE_OVER: Final = "over"
STATE_ENDED: Final = "ended"
STATE_UNKNOWN: Final = "unknown"

_C: Final = conversations.c
_P: Final = platform_conversations.c

_LIST: Final = insert_into(
    platform_conversations,
    ("conversation_id", "listed_at"),
    "ON CONFLICT (conversation_id) DO NOTHING",
    state=f"'{STATE_OPEN}'",
)
_LIST_OWN: Final = text(
    f"""
    INSERT INTO platform_conversations (conversation_id, state, listed_at)
    SELECT conversation_id, '{STATE_OPEN}', updated_at FROM conversations WHERE last_event_at >= :since
    ON CONFLICT (conversation_id) DO UPDATE SET state = excluded.state, listed_at = excluded.listed_at
    WHERE platform_conversations.listed_at < excluded.listed_at
    """  # noqa: S608  # a constant
).bindparams(bindparam("since", type_=_P.listed_at.type))
_COUNTED: Final = insert_into(
    platform_conversations,
    ("conversation_id", "state", "listed_at", "counted_at", "differs"),
    """
    ON CONFLICT (conversation_id) DO UPDATE SET
        state = excluded.state, counted_at = excluded.counted_at, differs = excluded.differs
    """,
)
_READ: Final = insert_into(
    platform_conversations,
    ("conversation_id", "state", "listed_at", "read_at", "fingerprint", "messages", "compared_through"),
    """
    ON CONFLICT (conversation_id) DO UPDATE SET
        state = excluded.state, read_at = excluded.read_at, fingerprint = excluded.fingerprint,
        messages = COALESCE(excluded.messages, platform_conversations.messages),
        compared_through = excluded.compared_through,
        differs = platform_conversations.differs AND excluded.read_at IS NULL
    """,
    differs="false",
)


@dataclass(frozen=True, slots=True)
class KnownConversation:
    """A conversation to compare.

    Args:
        conversation_id: The platform's.
        fingerprint: Of what was read last; None if that was not complete.
        compared_through: The last message that was compared, if its reading was interrupted.
    """

    conversation_id: str
    fingerprint: str | None = None
    compared_through: str | None = None


@dataclass(frozen=True, slots=True)
class PlatformCount:
    """What analytics report of a conversation.

    Args:
        messages: How many it has; None if that is not reported.
        is_ended: Whether it has ended.
    """

    messages: int | None
    is_ended: bool = False


def list_conversations(connection: Connection, ids: Collection[str], now_us: int) -> None:
    """Record conversations that the platform has; known ones stay as they are."""
    if ids:
        _LIST.execute(connection, [(each, now_us) for each in sorted(ids)])


def list_own_conversations(connection: Connection, active_since: datetime) -> None:
    """Record our own conversations with an event since then; those with news are compared again."""
    connection.execute(_LIST_OWN, {"since": active_since})


def own_conversations(connection: Connection, after: str, active_since: datetime, most: int) -> list[str]:
    """Return the next conversations by id, ours and the platform's, with an event or a listing since then."""
    ours = select(_C.conversation_id).where(_C.conversation_id > after, _C.last_event_at >= active_since)
    listed = select(_P.conversation_id).where(_P.conversation_id > after, _P.listed_at >= active_since)
    both = union(
        *(select(ids.order_by("conversation_id").limit(most).subquery()) for ids in (ours, listed))
    ).subquery()
    return list(connection.scalars(select(both).order_by("conversation_id").limit(most)))


def conversations_to_count(
    connection: Connection, started_us: int, active_since: datetime, most: int
) -> dict[str, int | None]:
    """Return open conversations that were not counted since then, with their messages when last read."""
    query = select(_P.conversation_id, _P.messages).where(
        _P.state == STATE_OPEN, _is_before(_P.counted_at, started_us), _P.listed_at >= active_since
    )
    return {row.conversation_id: row.messages for row in connection.execute(query.limit(most))}


def known_messages(connection: Connection, ids: Collection[str]) -> dict[str, int]:
    """Return how many messages of each conversation we know.

    A message to the customer is known by its own event, whatever receipts of it came. The native dialect
    notifies no message of the customer: such a one is known by its receipt.
    """
    events, said, receipts = processed_events.c, conversation_messages.c, message_receipts.c
    message = func.coalesce(said.platform_message_id, receipts.platform_message_id, events.idempotency_key)
    is_inbound = receipts.event_id.is_not(None) & events.idempotency_key.like("%:inbound:%")
    query = (
        select(events.conversation_id, func.count(message.distinct()))
        .select_from(
            processed_events.outerjoin(conversation_messages, said.event_id == events.id).outerjoin(
                message_receipts, receipts.event_id == events.id
            )
        )
        .where(events.conversation_id.in_(sorted(ids)), or_(said.event_id.is_not(None), is_inbound))
        .group_by(events.conversation_id)
    )
    return {row[0]: row[1] for row in connection.execute(query)}


def note_counts(
    connection: Connection, read: Mapping[str, int | None], counts: Mapping[str, PlatformCount], now_us: int
) -> None:
    """Record which conversations differ from what we know, and from what was read last.

    Args:
        connection: In a transaction.
        read: The conversations, each with its messages when it was read last.
        counts: What analytics report of them; a conversation without a count differs.
        now_us: The present.
    """
    known = known_messages(connection, read)
    rows = []
    for conversation_id, messages in sorted(read.items()):
        count = counts.get(conversation_id, PlatformCount(None))
        agrees = count.messages is not None and count.messages in {known.get(conversation_id, 0), messages}
        state = STATE_OVER if agrees and count.is_ended else STATE_OPEN
        rows.append((conversation_id, state, now_us, now_us, not agrees))
    if rows:
        _COUNTED.execute(connection, rows)


def conversations_to_read(  # one query
    connection: Connection,
    started_us: int,
    active_since: datetime,
    most: int,
    skip: Collection[str] = (),
    *,
    only_differing: bool = False,
) -> list[KnownConversation]:
    """Return conversations that were not read since then: those that differ, then the longest unread."""
    query = select(_P.conversation_id, _P.fingerprint, _P.compared_through).where(
        _P.state.in_((STATE_OPEN, STATE_OVER)),
        _is_before(_P.read_at, started_us),
        _P.listed_at >= active_since,
        _P.conversation_id.not_in(sorted(skip)),
    )
    if only_differing:
        query = query.where(_P.differs)
    query = query.order_by(_P.differs.desc(), _P.read_at.asc().nulls_first(), _P.conversation_id).limit(most)
    return [KnownConversation(*row) for row in connection.execute(query)]


def count_unread(connection: Connection, started_us: int, active_since: datetime) -> int:
    """Return how many conversations with agreeing counts were not read since then."""
    query = select(func.count()).where(
        _P.state.in_((STATE_OPEN, STATE_OVER)),
        _is_before(_P.read_at, started_us),
        _P.listed_at >= active_since,
    )
    return connection.execute(query).scalar_one()


def note_conversation(  # noqa: PLR0917  # one row
    connection: Connection,
    conversation_id: str,
    state: str,
    fingerprint: str | None,
    read_at_us: int | None,
    listed_at_us: int,
    messages: int | None = None,
    compared_through: str | None = None,
) -> None:
    """Record how far a conversation was compared, as it was when the reading began.

    Without *read_at_us*, its reading goes on after *compared_through*.
    """
    row = (conversation_id, state, listed_at_us, read_at_us, fingerprint, messages, compared_through)
    _READ.execute(connection, [row])


def _is_before(at: ColumnElement[datetime], moment_us: int) -> ColumnElement[bool]:
    return or_(at.is_(None), at < moment_of(moment_us))
