"""Lock conversations whose window has closed, read their waiting events, and write the result."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, case, func, select, update

from workers.db.ingest import put_in_outbox
from workers.db.models import conversation_messages, conversations, routing_updates
from workers.parsing import microseconds_of, moment_of
from workers.settle import plan
from workers.settle.updates import IS_WAITING, decide, read_position, record_answers

_C: Final = conversations.c
_M: Final = conversation_messages.c


def lock_closed(
    connection: Connection, now_us: int, opened_before_us: int, limit: int, among: Sequence[str] | None
) -> list[str]:
    """Lock conversations whose window has closed, if given only *among* these ids; return their ids.

    A window that opened after *opened_before_us* cannot have closed yet, so such windows are not read.
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
    """Lock conversations, except those that other processes have locked, and return their rows."""
    rows = select(conversations).where(_C.conversation_id.in_(conversation_ids))
    return list(connection.execute(rows.with_for_update(skip_locked=True)))


def try_to_lock(connection: Connection, conversation_id: str) -> bool:
    """Lock one conversation without reading its state; return False if another process has it."""
    row = select(_C.conversation_id).where(_C.conversation_id == conversation_id)
    return connection.scalar(row.with_for_update(skip_locked=True)) is not None


def set_aside(connection: Connection, conversation_id: str, code: str, until_us: int) -> None:
    """Record that a conversation cannot be settled; no process tries again before *until_us*.

    Its row, events or updates cannot be read or written; *code* is the reason, and quotes no value.
    """
    # A window that opens in the future is not read, even if more events arrive meanwhile.
    opened_at = case((_C.window_opened_at.is_not(None), moment_of(until_us)))
    row = update(conversations).where(_C.conversation_id == conversation_id)
    connection.execute(row.values(unsettled_because=code, window_opened_at=opened_at))
    waiting = update(routing_updates).where(routing_updates.c.conversation_id == conversation_id, IS_WAITING)
    connection.execute(waiting.values(next_attempt_at=moment_of(until_us)))


def read_messages(
    connection: Connection, conversation_ids: Sequence[str]
) -> dict[str, list[plan.PendingEvent]]:
    """Return, by conversation, the messages that arrived since it was last settled."""
    query = (
        select(_M.conversation_id, _M.event_id, _M.occurred_at, _M.sequence, _M.received_at)
        .join(conversations, _C.conversation_id == _M.conversation_id)
        .where(
            _M.conversation_id.in_(conversation_ids),
            # The index starts at the window's oldest event; the position skips settled events.
            _M.occurred_at >= _C.window_from_at,
            _M.position > _C.settled_count,
        )
    )
    waiting: dict[str, list[plan.PendingEvent]] = {}
    for row in connection.execute(query):
        waiting.setdefault(row.conversation_id, []).append(plan.PendingEvent(read_position(row)))
    return waiting


def close_windows(connection: Connection, conversation_ids: Sequence[str]) -> None:
    """Remove the windows, so that the next event opens a new one."""
    rows = update(conversations).where(_C.conversation_id.in_(conversation_ids))
    columns = ("window_opened_at", "window_closes_at", "window_limit_at", "window_from_at")
    connection.execute(rows.values(**dict.fromkeys(columns)))


def write(
    connection: Connection, settlements: Mapping[str, tuple[int, plan.Settlement]], now_us: int
) -> None:
    """Write the outbox, the conversations' states and the decisions on their updates.

    Each settlement is paired with its conversation's number of settled events. The outbox's trigger plans the
    deliveries, as `put_in_outbox` explains.
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
        connection.execute(row.values(session_opened_at=opened_at), rows)
    decisions = [decision for _, settlement in settlements.values() for decision in settlement.decisions]
    decide(connection, decisions, now_us)


def apply(
    connection: Connection,
    row: Row[Any],
    applied: Sequence[plan.PendingEvent],
    decisions: Sequence[plan.Decision],
    now_us: int,
) -> list[plan.Decision]:
    """Apply updates, or leave them to their conversation's open window; write the decisions on others.

    Returns every decision except those that are left to the open window.
    """
    decide(connection, decisions, now_us)
    if row.window_opened_at is not None:
        record_answers(connection, applied)
    elif applied:
        settlement = plan.settle_window(read_state(row), applied)
        write(connection, {row.conversation_id: (int(row.settled_count), settlement)}, now_us)
        return [*decisions, *settlement.decisions]
    return list(decisions)


def read_state(row: Row[Any]) -> plan.SettledState:
    """Return the settled state in a conversation's row."""
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
