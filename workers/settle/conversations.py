"""Lock conversations whose window has closed, read their waiting events, and write their new state."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, case, func, null, select, update

from workers.db.ingest import put_in_outbox
from workers.db.models import conversation_messages, conversations, routing_updates
from workers.parsing import microseconds_of, moment_of
from workers.settle import plan
from workers.settle.updates import IS_WAITING, decide, read_position, record_answer

NO_WINDOW: Final = dict.fromkeys(
    ("window_opened_at", "window_closes_at", "window_limit_at", "window_from_at"), null()
)
"""Column values that end a conversation's window; its next event then opens a new window."""

_C: Final = conversations.c
_M: Final = conversation_messages.c


def lock_closed(
    connection: Connection, now_us: int, opened_before_us: int, limit: int, among: Sequence[str] | None
) -> list[str]:
    """Lock conversations whose window has closed, and return their ids.

    *among* limits the search to these ids. Windows opened after *opened_before_us* cannot have closed yet.
    """
    closed = (
        select(_C.conversation_id)
        .where(_C.window_opened_at <= moment_of(opened_before_us), _C.window_closes_at <= moment_of(now_us))
        .order_by(_C.window_opened_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    if among is not None:
        closed = closed.where(_C.conversation_id.in_(among))
    return list(connection.execute(closed).scalars())


def lock(connection: Connection, conversation_ids: Sequence[str]) -> list[Row[Any]]:
    """Lock the conversations that no other process has locked, and return their rows."""
    rows = select(conversations).where(_C.conversation_id.in_(conversation_ids))
    return list(connection.execute(rows.with_for_update(skip_locked=True)))


def set_aside(connection: Connection, conversation_id: str, code: str, until_us: int) -> None:
    """Record that a conversation cannot be settled; no process tries again before *until_us*.

    Call this if the conversation's row, events or updates cannot be read or written. *code* is the reason.
    """
    # Move the window's start into the future: such a window is not read, even if more events arrive.
    opened_at = case((_C.window_opened_at.is_not(None), moment_of(until_us)))
    row = update(conversations).where(_C.conversation_id == conversation_id)
    connection.execute(row.values(unsettled_because=code, window_opened_at=opened_at))
    waiting = update(routing_updates).where(routing_updates.c.conversation_id == conversation_id, IS_WAITING)
    connection.execute(waiting.values(next_attempt_at=moment_of(until_us)))


def read_messages(
    connection: Connection, conversation_ids: Sequence[str]
) -> dict[str, list[plan.PendingEvent]]:
    """Return each conversation's messages that arrived after it was last settled."""
    query = (
        select(_M.conversation_id, _M.event_id, _M.occurred_at, _M.sequence, _M.received_at)
        .join(conversations, _C.conversation_id == _M.conversation_id)
        .where(
            _M.conversation_id.in_(conversation_ids),
            # The time condition limits how much of the index is read; the position excludes settled events.
            _M.occurred_at >= _C.window_from_at,
            _M.position > _C.settled_count,
        )
    )
    waiting: dict[str, list[plan.PendingEvent]] = {}
    for row in connection.execute(query):
        waiting.setdefault(row.conversation_id, []).append(plan.PendingEvent(read_position(row)))
    return waiting


def write(
    connection: Connection, settlements: Mapping[str, tuple[int, plan.SettledWindow]], now_us: int
) -> None:
    """Write the outbox entries, the conversations' states and the decisions on updates; end the windows.

    *settlements* maps a conversation's id to its number of settled events and its settled window. The
    outbox's trigger plans the deliveries, as `put_in_outbox` explains.
    """
    put_in_outbox(
        connection,
        [
            (key, entry.event_id, entry.event_type, entry.occurred_at_us, entry.late, entry.verified, now_us)
            for key, (_, settlement) in sorted(settlements.items())
            for entry in settlement.entries
        ],
    )
    opened_at = func.coalesce(_C.session_opened_at, bindparam("opened_at", type_=_C.session_opened_at.type))
    row = update(conversations).where(_C.conversation_id == bindparam("key"))
    rows = [
        {"key": key, "settled_count": count, **_make_columns(settlement.state, moment_of(now_us))}
        for key, (count, settlement) in sorted(settlements.items())
    ]
    if rows:
        connection.execute(row.values(session_opened_at=opened_at, **NO_WINDOW), rows)
    decisions = [decision for _, settlement in settlements.values() for decision in settlement.decisions]
    decide(connection, decisions, now_us)


def apply(
    connection: Connection,
    row: Row[Any],
    applied: Sequence[plan.PendingEvent],
    decisions: Sequence[plan.Decision],
    now_us: int,
) -> list[plan.Decision]:
    """Write *decisions*; settle *applied* now, or leave them to an open window; return the decisions made."""
    decide(connection, decisions, now_us)
    if row.window_opened_at is not None:
        for pending in applied:
            record_answer(connection, pending, None)
    elif applied or row.unsettled_because is not None:
        settlement = plan.settle_window(read_state(row), applied)
        write(connection, {row.conversation_id: (int(row.settled_count), settlement)}, now_us)
        return [*decisions, *settlement.decisions]
    return list(decisions)


def read_state(row: Row[Any]) -> plan.SettledState:
    """Return the settled state that a conversation's row contains."""
    through = _make_position(row.settled_through_at, row.settled_through_sequence)
    changed = _make_position(row.routing_changed_at, row.routing_sequence)
    routing = plan.Routing(row.routing_status, row.routing_queue, changed)
    return plan.SettledState(through, routing, has_session=row.session_opened_at is not None)


def _make_position(moment: datetime | None, sequence: int) -> plan.Position | None:
    return plan.Position(microseconds_of(moment), sequence) if moment else None


def _make_columns(state: plan.SettledState, now: datetime) -> dict[str, Any]:
    through, changed = state.through, state.routing.changed
    return {
        "settled_through_at": moment_of(through.occurred_at_us) if through else None,
        "settled_through_sequence": through.sequence if through else 0,
        "opened_at": now if state.has_session else None,
        "routing_status": state.routing.status,
        "routing_queue": state.routing.queue,
        "routing_changed_at": moment_of(changed.occurred_at_us) if changed else None,
        "routing_sequence": changed.sequence if changed else 0,
        "unsettled_because": None,
        "updated_at": now,
    }
