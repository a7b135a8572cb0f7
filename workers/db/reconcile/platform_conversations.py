"""Choose the conversations to compare with the platform's history, and record their progress."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, Connection, bindparam, exists, func, or_, select, text, union

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

_UNENDED: Final = (STATE_OPEN, STATE_OVER)

QUIET: Final = timedelta(days=7)
"""A conversation that the timer never recorded counts as open until it has been quiet for this long."""

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
    """A conversation to compare; *fingerprint* is the digest of its messages at the last complete reading."""

    conversation_id: str
    fingerprint: str | None = None


@dataclass(frozen=True, slots=True)
class PlatformCount:
    """A conversation according to the platform's analytics; `messages` is None if they report no count."""

    messages: int | None
    is_ended: bool = False


def record_listed_conversations(connection: Connection, ids: Collection[str], now_us: int) -> None:
    """Record conversations that the platform lists; the rows of known conversations stay unchanged."""
    _LIST.execute(connection, [(conversation_id, now_us) for conversation_id in sorted(ids)])


def record_own_conversations(connection: Connection, active_since: datetime) -> None:
    """Record our conversations with an event since *active_since*; reopen conversations with newer events."""
    connection.execute(_LIST_OWN, {"since": active_since})


def read_conversation_ids(
    connection: Connection, after: str, active_since: datetime, limit: int
) -> list[str]:
    """Return the next ids above *after* of conversations that might have had an event since *active_since*.

    A lost event leaves no trace here, so quiet conversations count too, unless they were compared to the end.
    """
    is_done = exists().where(
        _P.conversation_id == _C.conversation_id, _P.state.not_in(_UNENDED), _P.listed_at >= _C.updated_at
    )
    may_be_open = (_C.last_event_at >= active_since - QUIET) & ~is_done
    ours = select(_C.conversation_id).where(_C.conversation_id > after, may_be_open)
    listed = select(_P.conversation_id).where(
        _P.conversation_id > after, or_(_P.listed_at >= active_since, _P.state.in_(_UNENDED))
    )
    parts = (select(ids.order_by("conversation_id").limit(limit).subquery()) for ids in (ours, listed))
    both = union(*parts).subquery()
    return list(connection.scalars(select(both).order_by("conversation_id").limit(limit)))


def select_uncounted(
    connection: Connection, reconciliation: Reconciliation, limit: int
) -> dict[str, int | None]:
    """Return open conversations that this comparison has not counted yet, with their last counts."""
    is_uncounted = _is_left(reconciliation, _P.counted_at) & (_P.state == STATE_OPEN)
    query = select(_P.conversation_id, _P.messages).where(is_uncounted)
    return {row.conversation_id: row.messages for row in connection.execute(query.limit(limit))}


def record_counts(
    connection: Connection, read: Mapping[str, int | None], counts: Mapping[str, PlatformCount], now_us: int
) -> None:
    """Record which conversations are over, and which counts match neither ours nor the last one in *read*."""
    known = _count_known_messages(connection, read)
    rows = []
    for conversation_id, messages in sorted(read.items()):
        count = counts.get(conversation_id, PlatformCount(None))
        agrees = count.messages is not None and count.messages in {known.get(conversation_id, 0), messages}
        state = STATE_OVER if agrees and count.is_ended else STATE_OPEN
        rows.append((conversation_id, state, now_us, now_us, not agrees))
    _COUNTED.execute(connection, rows)


def _count_known_messages(connection: Connection, ids: Collection[str]) -> dict[str, int]:
    """Return how many messages of each conversation are recorded here.

    A message to the customer has its own event. In the native dialect, a message from the customer has no
    event, so it is counted by its receipt.
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
    """Return an unread conversation; prefer one whose count differs or, if *is_late*, accept no other."""
    query = select(_P.conversation_id, _P.fingerprint).where(_P.conversation_id.not_in(sorted(skip)))
    query = query.where(_is_unread(reconciliation)).order_by(_P.read_at).limit(1)
    # A single query for all these rows would have to sort them, because the index puts null times last.
    for differs in (_P.differs,) if is_late else (_P.differs, ~_P.differs):
        for is_of_kind in (_P.read_at.is_(None), _P.read_at.is_not(None)):
            if row := connection.execute(query.where(differs, is_of_kind)).first():
                return KnownConversation(*row)
    return None


def count_unread(connection: Connection, reconciliation: Reconciliation) -> int:
    """Return how many conversations this comparison has not read yet."""
    return connection.execute(select(func.count()).where(_is_unread(reconciliation))).scalar_one()


def record_progress(
    connection: Connection, known: KnownConversation, state: str, messages: int | None, read_at_us: int
) -> None:
    """Record that a conversation was read, and its state at *read_at_us*, the time when reading began."""
    row = (known.conversation_id, state, read_at_us, read_at_us, known.fingerprint, messages)
    _READ.execute(connection, [row])


def _is_unread(reconciliation: Reconciliation) -> ColumnElement[bool]:
    return _is_left(reconciliation, _P.read_at) & _P.state.in_(_UNENDED)


def _is_left(reconciliation: Reconciliation, done_at: ColumnElement[datetime]) -> ColumnElement[bool]:
    """Return the condition for conversations in the compared interval whose *done_at* is null or outdated."""
    is_of_time = _P.listed_at >= moment_of(reconciliation.compared_from_us)
    return is_of_time & or_(done_at.is_(None), done_at < moment_of(reconciliation.started_us))
