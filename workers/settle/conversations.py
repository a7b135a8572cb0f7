"""Lock conversations whose window has closed, read what waits in it, write what was settled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import case, select, update

from workers.db.engine import BulkStatement, column_kinds
from workers.db.ingest import put_in_outbox
from workers.db.models import conversation_messages, conversations
from workers.parsing import microseconds_of, moment_of
from workers.settle.plan import Moment, Pending, Routing, Settled, settle_window
from workers.settle.updates import decide, note_answers, place_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection, Row

    from workers.settle.plan import Decision, Settlement

_C: Final = conversations.c
_M: Final = conversation_messages.c

_STATE: Final = (
    _C.conversation_id,
    _C.window_opened_at,
    _C.event_count,
    _C.settled_count,
    _C.settled_through_at,
    _C.settled_through_sequence,
    _C.session_opened_at,
    _C.routing_status,
    _C.routing_queue,
    _C.routing_changed_at,
    _C.routing_sequence,
)

_WRITE: Final = BulkStatement(
    """
    UPDATE conversations SET settled_count = {settled_count}, settled_through_at = {settled_through_at},
        settled_through_sequence = {settled_through_sequence},
        session_opened_at = COALESCE(session_opened_at, {session_opened_at}),
        routing_status = {routing_status}, routing_queue = {routing_queue},
        routing_changed_at = {routing_changed_at}, routing_sequence = {routing_sequence},
        unsettled_because = NULL, updated_at = {updated_at}
    FROM {rows} WHERE conversations.conversation_id = {conversation_id}
    """,
    column_kinds(
        conversations,
        "conversation_id",
        "settled_count",
        "settled_through_at",
        "settled_through_sequence",
        "session_opened_at",
        "routing_status",
        "routing_queue",
        "routing_changed_at",
        "routing_sequence",
        "updated_at",
    ),
)


def closed_ids(connection: Connection, now_us: int, *, opened_before_us: int, limit: int) -> list[str]:
    """Lock up to *limit* conversations whose window has closed, those of other processes left out.

    Args:
        connection: In a transaction.
        now_us: The database's clock, microseconds since the epoch.
        opened_before_us: No window that was opened later can be closed; it bounds what is looked at.
        limit: How many at most.
    """
    closed = (
        select(_C.conversation_id)
        .where(_C.window_opened_at <= moment_of(opened_before_us), _C.window_closes_at <= moment_of(now_us))
        .order_by(_C.window_opened_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return list(connection.execute(closed).scalars())


def lock(connection: Connection, conversation_ids: Sequence[str]) -> list[Row[Any]]:
    """Lock conversations, those of other processes left out; SQLite has one writer."""
    rows = select(*_STATE).where(_C.conversation_id.in_(conversation_ids)).with_for_update(skip_locked=True)
    return list(connection.execute(rows))


def try_to_lock(connection: Connection, conversation_id: str) -> bool:
    """Lock one conversation, and read nothing else of it; return False if another process has it."""
    row = select(_C.conversation_id).where(_C.conversation_id == conversation_id)
    return connection.execute(row.with_for_update(skip_locked=True)).first() is not None


def set_aside(connection: Connection, conversation_id: str, because: str, until_us: int) -> None:
    """Record that a conversation cannot be settled; nobody tries again before *until_us*.

    Args:
        connection: In a transaction.
        conversation_id: Whose row, events or updates cannot be read or written.
        because: A code; never a value.
        until_us: The database's clock, microseconds since the epoch.
    """
    connection.execute(
        update(conversations)
        .where(_C.conversation_id == conversation_id)
        .values(
            unsettled_because=because,
            # A window that opens later is not looked at, whatever events come to it meanwhile.
            window_opened_at=case((_C.window_opened_at.is_not(None), moment_of(until_us))),
        )
    )


def waiting_messages(connection: Connection, conversation_ids: Sequence[str]) -> dict[str, list[Pending]]:
    """Return the messages that came since their conversation was settled, by conversation."""
    query = (
        select(_M.conversation_id, _M.event_id, _M.occurred_at, _M.sequence, _M.received_at)
        .join(conversations, _C.conversation_id == _M.conversation_id)
        .where(
            _M.conversation_id.in_(conversation_ids),
            # The index leads to the oldest event of the window, and the position past what is settled.
            _M.occurred_at >= _C.window_from_at,
            _M.position > _C.settled_count,
        )
    )
    waiting: dict[str, list[Pending]] = {}
    for row in connection.execute(query):
        waiting.setdefault(row.conversation_id, []).append(Pending(place_of(row)))
    return waiting


def close_windows(connection: Connection, conversation_ids: Sequence[str]) -> None:
    """Take the windows away: the next event opens a new one."""
    connection.execute(
        update(conversations)
        .where(_C.conversation_id.in_(conversation_ids))
        .values(window_opened_at=None, window_closes_at=None, window_limit_at=None, window_from_at=None)
    )


def write(connection: Connection, settlements: Mapping[str, tuple[int, Settlement]], now_us: int) -> None:
    """Write the outbox, the conversations' states and the decisions on their updates.

    Args:
        connection: In the transaction that locked the conversations.
        settlements: By conversation: how many of its events are settled, and what came of them.
        now_us: The database's clock, microseconds since the epoch.
    """
    entries = [
        (key, entry.event_id, entry.event_type, entry.occurred_at_us, entry.late, entry.verified, now_us)
        for key, (_, settled) in sorted(settlements.items())
        for entry in settled.entries
    ]
    put_in_outbox(connection, entries)
    rows = [
        _row_of(key, count, settled.state, now_us) for key, (count, settled) in sorted(settlements.items())
    ]
    if rows:
        _WRITE.execute(connection, rows)
    decisions = [decision for _, settled in settlements.values() for decision in settled.decisions]
    decide(connection, decisions, now_us)


def apply(
    connection: Connection,
    row: Row[Any],
    applied: Sequence[Pending],
    decisions: Sequence[Decision],
    now_us: int,
) -> list[Decision]:
    """Apply updates, in their conversation's window if one is open, and write the decisions on others.

    Args:
        connection: In the transaction that locked the conversation.
        row: The conversation.
        applied: The updates that take effect.
        decisions: Those on updates that take none.
        now_us: The database's clock, microseconds since the epoch.

    Returns:
        Every decision; those that the window is to make are left out.
    """
    decide(connection, decisions, now_us)
    if row.window_opened_at is not None:
        note_answers(connection, applied)
        return list(decisions)
    if not applied:
        return list(decisions)
    settlement = settle_window(state_of(row), applied)
    write(connection, {row.conversation_id: (int(row.settled_count), settlement)}, now_us)
    return [*decisions, *settlement.decisions]


def state_of(row: Row[Any]) -> Settled:
    """Read what is settled of a conversation off its row."""
    through = row.settled_through_at
    changed = row.routing_changed_at
    return Settled(
        through=Moment(microseconds_of(through), row.settled_through_sequence) if through else None,
        routing=Routing(
            row.routing_status,
            row.routing_queue,
            Moment(microseconds_of(changed), row.routing_sequence) if changed else None,
        ),
        has_session=row.session_opened_at is not None,
    )


def _row_of(conversation_id: str, count: int, state: Settled, now_us: int) -> tuple[object, ...]:
    through, routing = state.through, state.routing
    changed = routing.changed
    return (
        conversation_id,
        count,
        through.occurred_at_us if through else None,
        through.sequence if through else 0,
        now_us if state.has_session else None,
        routing.status,
        routing.queue,
        changed.occurred_at_us if changed else None,
        changed.sequence if changed else 0,
        now_us,
    )
