"""Lease routing updates that the platform is asked about, read those that wait, write what was decided."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, select, update

from workers.parsing import microseconds_of, moment_of
from workers.settle.plan import SUPERSEDED, Moment, Pending
from workers.tables import RowStatement, kinds_of, processed_events, routing_updates

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Row, Select

    from workers.settle.plan import Decision

_U: Final = routing_updates.c

_DECIDE: Final = RowStatement(
    """
    UPDATE routing_updates SET decision = {decision}, platform_status = {platform_status},
        verified = {verified}, decided_at = {decided_at}, next_attempt_at = NULL
    FROM {rows} WHERE routing_updates.event_id = {event_id}
    """,
    kinds_of(routing_updates, "event_id", "decision", "platform_status", "verified", "decided_at"),
)


def lease(connection: Connection, now_us: int, seconds: float) -> Row[Any] | None:
    """Lease the update that has waited longest; a killed process's lease runs out by itself.

    Args:
        connection: In a transaction; the lease is had when it is committed.
        now_us: Our clock, microseconds since the epoch.
        seconds: How long nobody else takes it.

    Returns:
        Its id, conversation, attempts and routing, and the newest event on record as `newest`.
    """
    due: Select[Any] = (
        select(
            _U.event_id,
            _U.conversation_id,
            _U.attempts,
            _U.routing_status,
            _U.routing_queue,
            select(func.max(processed_events.c.id)).scalar_subquery().label("newest"),
        )
        .where(_U.decision.is_(None), _U.next_attempt_at <= moment_of(now_us))
        .order_by(_U.next_attempt_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    row = connection.execute(due).first()
    if row is not None:
        reschedule(connection, row.event_id, row.attempts + 1, now_us + round(seconds * 1_000_000))
    return row


def reschedule(connection: Connection, event_id: int, attempts: int, at_us: int) -> None:
    """Have an update asked about again, microseconds since the epoch, unless it is decided."""
    connection.execute(
        update(routing_updates)
        .where(_U.event_id == event_id, _U.decision.is_(None))
        .values(attempts=attempts, next_attempt_at=moment_of(at_us))
    )


def waiting(
    connection: Connection, conversation_ids: Sequence[str], *, answered: bool
) -> dict[str, list[Pending]]:
    """Return the routing updates of which nothing is decided, by conversation.

    Args:
        connection: In the transaction that locked the conversations.
        conversation_ids: Of these.
        answered: Only those of which the platform has been asked.
    """
    query = select(
        _U.conversation_id,
        _U.event_id,
        _U.occurred_at,
        _U.sequence,
        _U.received_at,
        _U.routing_status,
        _U.routing_queue,
        _U.platform_status,
        _U.verified,
    ).where(_U.conversation_id.in_(conversation_ids), _U.decision.is_(None))
    if answered:
        query = query.where(_U.next_attempt_at.is_(None))
    found: dict[str, list[Pending]] = {}
    for row in connection.execute(query):
        pending = Pending(
            place_of(row), row.routing_status, row.routing_queue, row.platform_status, row.verified
        )
        found.setdefault(row.conversation_id, []).append(pending)
    return found


def note_answer(connection: Connection, update_: Pending) -> None:
    """Write what the platform said of an update that its conversation's open window is to settle."""
    connection.execute(
        update(routing_updates)
        .where(_U.event_id == update_.moment.event_id)
        .values(platform_status=update_.platform_status, verified=update_.verified, next_attempt_at=None)
    )


def decide(connection: Connection, decisions: Sequence[Decision], now_us: int) -> None:
    """Write what became of updates, and which of their events the platform contradicted.

    Args:
        connection: In the transaction that locked their conversations.
        decisions: Any number.
        now_us: Our clock, microseconds since the epoch.
    """
    if decisions:
        _DECIDE.execute(connection, [_decision_row(each, now_us) for each in decisions])
    superseded = [each.event_id for each in decisions if each.word == SUPERSEDED]
    if superseded:
        connection.execute(
            update(processed_events)
            .where(processed_events.c.id.in_(superseded))
            .values(outcome="skipped", reason=SUPERSEDED)
        )


def place_of(row: Any) -> Moment:
    """Read off an event's row where it stands in its conversation."""
    return Moment(
        microseconds_of(row.occurred_at), row.sequence, microseconds_of(row.received_at), row.event_id
    )


def _decision_row(decision: Decision, now_us: int) -> tuple[object, ...]:
    return (decision.event_id, decision.word, decision.platform_status, decision.verified, now_us)
