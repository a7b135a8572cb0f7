"""Choose the conversations to compare with the platform's, and record the progress of each."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, Connection, bindparam, func, or_, select, text, true, union

from workers.db.engine import insert_into
from workers.db.models import (
    conversation_messages,
    conversations,
    message_receipts,
    platform_conversations,
    processed_events,
)
from workers.db.reconcile.reconciliation_records import Reconciliation
from workers.parsing import moment_of

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
    ("conversation_id", "state", "listed_at", "read_at", "fingerprint", "messages"),
    """
    ON CONFLICT (conversation_id) DO UPDATE SET
        state = excluded.state, read_at = excluded.read_at, fingerprint = excluded.fingerprint,
        messages = COALESCE(excluded.messages, platform_conversations.messages), differs = excluded.differs
    """,
    differs="false",
)


@dataclass(frozen=True, slots=True)
class KnownConversation:
    """A conversation to compare, with the digest of its messages when it was last read completely."""

    conversation_id: str
    fingerprint: str | None = None


@dataclass(frozen=True, slots=True)
class PlatformCount:
    """What analytics report about a conversation; `messages` is None if they report no count."""

    messages: int | None
    is_ended: bool = False


def record_listed_conversations(connection: Connection, ids: Collection[str], now_us: int) -> None:
    """Record conversations that the platform lists; conversations that are known stay unchanged."""
    if ids:
        _LIST.execute(connection, [(conversation_id, now_us) for conversation_id in sorted(ids)])


def record_own_conversations(connection: Connection, active_since: datetime) -> None:
    """Record our conversations with an event since *active_since*; newer events cause a new comparison."""
    connection.execute(_LIST_OWN, {"since": active_since})


def read_conversation_ids(
    connection: Connection, after: str, active_since: datetime, limit: int
) -> list[str]:
    """Return the next conversations by id, ours with a recent event and those that were listed recently."""
    ours = select(_C.conversation_id).where(_C.conversation_id > after, _C.last_event_at >= active_since)
    listed = select(_P.conversation_id).where(_P.conversation_id > after, _P.listed_at >= active_since)
    parts = (select(ids.order_by("conversation_id").limit(limit).subquery()) for ids in (ours, listed))
    both = union(*parts).subquery()
    return list(connection.scalars(select(both).order_by("conversation_id").limit(limit)))


def select_uncounted(
    connection: Connection, reconciliation: Reconciliation, limit: int
) -> dict[str, int | None]:
    """Return open conversations not counted since the comparison started, with their last known messages."""
    is_uncounted = _is_left(reconciliation, _P.counted_at) & (_P.state == STATE_OPEN)
    query = select(_P.conversation_id, _P.messages).where(is_uncounted)
    return {row.conversation_id: row.messages for row in connection.execute(query.limit(limit))}


def record_counts(
    connection: Connection, read: Mapping[str, int | None], counts: Mapping[str, PlatformCount], now_us: int
) -> None:
    """Record the conversations whose count differs from our messages and from those when last *read*.

    A conversation for which analytics report no count counts as different.
    """
    known = _count_known_messages(connection, read)
    rows = []
    for conversation_id, messages in sorted(read.items()):
        count = counts.get(conversation_id, PlatformCount(None))
        agrees = count.messages is not None and count.messages in {known.get(conversation_id, 0), messages}
        state = STATE_OVER if agrees and count.is_ended else STATE_OPEN
        rows.append((conversation_id, state, now_us, now_us, not agrees))
    if rows:
        _COUNTED.execute(connection, rows)


def _count_known_messages(connection: Connection, ids: Collection[str]) -> dict[str, int]:
    """Return how many messages of each conversation we know.

    A message to the customer is known from its own event. The native dialect sends no event for a message
    from the customer, so such a message is known from its receipt.
    """
    events, messages, receipts = processed_events.c, conversation_messages.c, message_receipts.c
    platform_ids = (messages.platform_message_id, receipts.platform_message_id)
    message = func.coalesce(*platform_ids, events.idempotency_key)
    is_inbound = receipts.event_id.is_not(None) & events.idempotency_key.like("%:inbound:%")
    with_messages = processed_events.outerjoin(conversation_messages, messages.event_id == events.id)
    source = with_messages.outerjoin(message_receipts, receipts.event_id == events.id)
    is_wanted = events.conversation_id.in_(sorted(ids)) & (messages.event_id.is_not(None) | is_inbound)
    query = select(events.conversation_id, func.count(message.distinct())).select_from(source)
    rows = connection.execute(query.where(is_wanted).group_by(events.conversation_id))
    return {row[0]: row[1] for row in rows}


def find_unread(
    connection: Connection, reconciliation: Reconciliation, skip: Collection[str], *, is_late: bool
) -> KnownConversation | None:
    """Return a conversation not read since the comparison started: one that differs, or the longest unread.

    If *is_late*, only conversations that differ are returned.
    """
    is_wanted = _P.conversation_id.not_in(sorted(skip)) & (_P.differs if is_late else true())
    query = select(_P.conversation_id, _P.fingerprint).where(is_wanted, _is_unread(reconciliation))
    query = query.order_by(_P.differs.desc(), _P.read_at.asc().nulls_first(), _P.conversation_id)
    row = connection.execute(query.limit(1)).first()
    return KnownConversation(*row) if row else None


def count_unread(connection: Connection, reconciliation: Reconciliation) -> int:
    """Return how many conversations have not been read since the comparison started."""
    return connection.execute(select(func.count()).where(_is_unread(reconciliation))).scalar_one()


def record_progress(
    connection: Connection, known: KnownConversation, state: str, messages: int | None, read_at_us: int
) -> None:
    """Record that a conversation was read, with its state at the time when the reading began."""
    row = (known.conversation_id, state, read_at_us, read_at_us, known.fingerprint, messages)
    _READ.execute(connection, [row])


def _is_unread(reconciliation: Reconciliation) -> ColumnElement[bool]:
    return _is_left(reconciliation, _P.read_at) & _P.state.in_((STATE_OPEN, STATE_OVER))


def _is_left(reconciliation: Reconciliation, done_at: ColumnElement[datetime]) -> ColumnElement[bool]:
    """Return the condition of a conversation in the compared time for which a step is still to be done."""
    is_of_time = _P.listed_at >= moment_of(reconciliation.compared_from_us)
    return is_of_time & or_(done_at.is_(None), done_at < moment_of(reconciliation.started_us))
