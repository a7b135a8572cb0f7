"""Find routing updates to verify with the platform, read waiting updates, and write the decisions."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, Select, bindparam, select, update

from workers.db.models import processed_events, routing_updates
from workers.parsing import microseconds_of, moment_of
from workers.settle.plan import SUPERSEDED, UNDECIDED, Decision, PendingEvent, Position

_U: Final = routing_updates.c
IS_WAITING: Final = _U.decision.is_(None) & _U.next_attempt_at.is_not(None)


def find_newest_due(connection: Connection, now_us: int, since_us: int) -> str | None:
    """Return the conversation of the newest update that is due and has waited since *since_us*."""
    due = _select_due(now_us, since_us).order_by(_U.waits_since.desc(), _U.event_id.desc())
    return connection.execute(due.limit(1)).scalar()


def find_overdue(connection: Connection, now_us: int, since_us: int, limit: int) -> list[str]:
    """Return conversations with updates that have waited since before *since_us*, the oldest first."""
    due = _select_due(now_us, since_us).order_by(_U.waits_since)
    return sorted(set(connection.execute(due.limit(limit)).scalars()))


def _select_due(now_us: int, since_us: int) -> Select[Any]:
    is_old, is_due = _U.waits_since <= moment_of(since_us), _U.next_attempt_at <= moment_of(now_us)
    return select(_U.conversation_id).where(_U.decision.is_(None), is_old, is_due)


def lease(connection: Connection, conversation_id: str, now_us: int, until_us: int) -> bool:
    """Lease a conversation's due updates to this process until *until_us*; return whether there were any.

    The caller holds the conversation's lock. If it is killed, another process takes over after *until_us*.
    """
    is_due = _U.decision.is_(None) & (_U.next_attempt_at <= moment_of(now_us))
    due = update(routing_updates).where(_U.conversation_id == conversation_id, is_due)
    return bool(connection.execute(due.values(next_attempt_at=moment_of(until_us))).rowcount)


def ask_again(connection: Connection, pending: PendingEvent, at_us: int) -> None:
    """Schedule the next query about an update for *at_us* (microseconds) unless it is answered or decided."""
    waiting = update(routing_updates).where(_U.event_id == pending.position.event_id, IS_WAITING)
    values = {"next_attempt_at": moment_of(at_us), "platform_status": pending.platform_status}
    connection.execute(waiting.values(**values))


def read_unanswered(connection: Connection, conversation_id: str) -> list[PendingEvent]:
    """Return the updates of a conversation that wait for an answer."""
    return read_waiting(connection, [conversation_id], is_answered=False).get(conversation_id, [])


def read_waiting(
    connection: Connection, conversation_ids: Sequence[str], *, is_answered: bool | None = None
) -> dict[str, list[PendingEvent]]:
    """Return the undecided routing updates: those to be applied, those still unanswered, or all of them."""
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


def record_answers(connection: Connection, applied: Sequence[PendingEvent]) -> None:
    """Record the answers of updates that their conversation's open window is to apply."""
    for pending in applied:
        row = update(routing_updates).where(_U.event_id == pending.position.event_id)
        answer = {"platform_status": pending.platform_status, "verified": pending.verified}
        connection.execute(row.values(**answer, next_attempt_at=None))


def decide(connection: Connection, decisions: Sequence[Decision], now_us: int) -> None:
    """Write decisions on updates of locked conversations, and the outcome of updates without effect."""
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
    """Return an event's place in its conversation."""
    return Position(
        microseconds_of(row.occurred_at), row.sequence, microseconds_of(row.received_at), row.event_id
    )
