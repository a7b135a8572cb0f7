"""Lock conversations whose window has closed, read what waits in it, write what was settled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select, update

from workers.parsing import microseconds_of, moment_of
from workers.settle.plan import Moment, Pending, Routing, Settled
from workers.settle.updates import decide, place_of
from workers.tables import RowStatement, conversation_messages, conversations, kinds_of, routing_updates

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection, Row, Select

    from workers.settle.plan import Settlement

_C: Final = conversations.c
_M: Final = conversation_messages.c
_U: Final = routing_updates.c

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

_WRITE: Final = RowStatement(
    """
    UPDATE conversations SET settled_count = {settled_count}, settled_through_at = {settled_through_at},
        settled_through_sequence = {settled_through_sequence},
        session_opened_at = COALESCE(session_opened_at, {session_opened_at}),
        routing_status = {routing_status}, routing_queue = {routing_queue},
        routing_changed_at = {routing_changed_at}, routing_sequence = {routing_sequence},
        updated_at = {updated_at}
    FROM {rows} WHERE conversations.conversation_id = {conversation_id}
    """,
    kinds_of(
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


def lock_closed(connection: Connection, now_us: int, *, opened_before_us: int, limit: int) -> list[Row[Any]]:
    """Lock up to *limit* conversations whose window has closed; what another process has is left to it.

    Args:
        connection: In a transaction.
        now_us: Our clock, microseconds since the epoch.
        opened_before_us: No window that was opened later can be closed; it bounds what is looked at.
        limit: How many at most.
    """
    closed = (
        select(*_STATE)
        .where(_C.window_opened_at <= moment_of(opened_before_us), _C.window_closes_at <= moment_of(now_us))
        .order_by(_C.window_opened_at)
        .limit(limit)
    )
    return _locked(connection, closed)


def lock_one(connection: Connection, conversation_id: str) -> Row[Any] | None:
    """Lock one conversation, or return None while another process has it."""
    return next(iter(_locked(connection, select(*_STATE).where(_C.conversation_id == conversation_id))), None)


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


def open_windows_left(connection: Connection, now_us: int, *, limit: int) -> int:
    """Open windows that close at once where updates wait for an answer and none is; return how many."""
    waiting = select(_U.conversation_id).where(_U.decision.is_(None), _U.next_attempt_at.is_not(None))
    left = select(_C.conversation_id).where(_C.conversation_id.in_(waiting), _C.window_opened_at.is_(None))
    now = moment_of(now_us)
    ids = [row.conversation_id for row in _locked(connection, left.limit(limit))]
    connection.execute(
        update(conversations)
        .where(_C.conversation_id.in_(ids))
        .values(window_opened_at=now, window_closes_at=now, window_limit_at=now, window_from_at=now)
    )
    return len(ids)


def write(connection: Connection, settlements: Mapping[str, tuple[int, Settlement]], now_us: int) -> None:
    """Write the conversations' states and what was decided on their updates.

    Args:
        connection: In the transaction that locked the conversations.
        settlements: By conversation: how many of its events are settled, and what came of them.
        now_us: Our clock, microseconds since the epoch.
    """
    rows = [
        _row_of(key, count, settled.state, now_us) for key, (count, settled) in sorted(settlements.items())
    ]
    if rows:
        _WRITE.execute(connection, rows)
    decide(connection, [each for _, settled in settlements.values() for each in settled.decisions], now_us)


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


def _locked(connection: Connection, query: Select[Any]) -> list[Row[Any]]:
    """Lock what a query finds; SQLite, which has one writer, needs no word for it."""
    return list(connection.execute(query.with_for_update(skip_locked=True)))


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
