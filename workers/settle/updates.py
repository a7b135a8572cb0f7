"""Find the routing updates to verify with the platform, read waiting updates, and write decisions."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, Select, bindparam, select, update

from workers.db.models import conversations, processed_events, routing_updates
from workers.parsing import microseconds_of, moment_of
from workers.settle.plan import SUPERSEDED, UNDECIDED, Decision, PendingEvent, Position

_U: Final = routing_updates.c
IS_WAITING: Final = _U.decision.is_(None) & _U.next_attempt_at.is_not(None)


def lock_newest_due(connection: Connection, now_us: int, since_us: int) -> str | None:
    """Lock the conversation of the newest due update that was stored at *since_us* or earlier; return its id.

    Conversations that other processes have locked are passed over, so that they do not delay the others.
    """
    due = _select_due(now_us, since_us).order_by(_U.waits_since.desc()).limit(1)
    due = due.join(conversations, conversations.c.conversation_id == _U.conversation_id)
    return connection.execute(due.with_for_update(of=conversations, skip_locked=True)).scalar()


def find_overdue(connection: Connection, now_us: int, since_us: int, limit: int) -> list[str]:
    """Return the conversations of the oldest due updates stored at *since_us* or earlier, sorted by id."""
    due = _select_due(now_us, since_us).order_by(_U.waits_since)
    return sorted(set(connection.execute(due.limit(limit)).scalars()))


def _select_due(now_us: int, since_us: int) -> Select[Any]:
    is_old, is_due = _U.waits_since <= moment_of(since_us), _U.next_attempt_at <= moment_of(now_us)
    return select(_U.conversation_id).where(_U.decision.is_(None), is_old, is_due)


def lease(connection: Connection, conversation_id: str, now_us: int, until_us: int) -> bool:
    """Lease a conversation's due updates to this process until *until_us*; return False if none was due.

    The caller holds the conversation's lock. After *until_us*, another process may lease the updates.
    """
    is_due = _U.decision.is_(None) & (_U.next_attempt_at <= moment_of(now_us))
    due = update(routing_updates).where(_U.conversation_id == conversation_id, is_due)
    return bool(connection.execute(due.values(next_attempt_at=moment_of(until_us))).rowcount)


def record_answer(connection: Connection, pending: PendingEvent, ask_again_us: int | None) -> None:
    """Record the platform's answer about a waiting update, and when to query again; None means never."""
    waiting = update(routing_updates).where(_U.event_id == pending.position.event_id, IS_WAITING)
    answer = {"platform_status": pending.platform_status, "verified": pending.verified}
    next_at = None if ask_again_us is None else moment_of(ask_again_us)
    connection.execute(waiting.values(**answer, next_attempt_at=next_at))


def read_unanswered(connection: Connection, conversation_id: str) -> list[PendingEvent]:
    """Return a conversation's updates that are waiting for the platform's answer."""
    return read_waiting(connection, [conversation_id], is_answered=False).get(conversation_id, [])


def read_waiting(
    connection: Connection, conversation_ids: Sequence[str], *, is_answered: bool | None = None
) -> dict[str, list[PendingEvent]]:
    """Return each conversation's undecided updates; *is_answered* selects answered or unanswered updates."""
    query = select(routing_updates).where(_U.conversation_id.in_(conversation_ids), _U.decision.is_(None))
    if is_answered is not None:
        is_null = _U.next_attempt_at.is_(None)
        query = query.where(is_null if is_answered else ~is_null)
    found: dict[str, list[PendingEvent]] = {}
    for row in connection.execute(query):
        pending = PendingEvent(
            read_position(row),
            row.routing_status,
            row.routing_queue,
            row.platform_status,
            row.verified,
            microseconds_of(row.waits_since),
        )
        found.setdefault(row.conversation_id, []).append(pending)
    return found


def decide(connection: Connection, decisions: Sequence[Decision], now_us: int) -> None:
    """Write decisions on updates of locked conversations; mark the events of rejected updates as skipped."""
    rows = [
        {
            "key": decision.update.position.event_id,
            "decision": decision.kind,
            "platform_status": decision.update.platform_status,
            "verified": decision.update.verified,
            "decided_at": moment_of(now_us),
            "next_attempt_at": None,
        }
        for decision in decisions
    ]
    if rows:
        connection.execute(update(routing_updates).where(_U.event_id == bindparam("key")), rows)
    for kind in (SUPERSEDED, UNDECIDED):
        if ids := [row["key"] for row in rows if row["decision"] == kind]:
            events = update(processed_events).where(processed_events.c.id.in_(ids))
            connection.execute(events.values(outcome="skipped", reason=kind))


def read_position(row: Any) -> Position:
    """Return an event's position in its conversation."""
    return Position(
        microseconds_of(row.occurred_at), row.sequence, microseconds_of(row.received_at), row.event_id
    )
