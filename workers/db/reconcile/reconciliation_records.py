"""Record a comparison's progress under a lease, so that another process can take it over."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, func, or_, select, update

from messaging.envelope import WEBHOOK
from messaging.errors import RetryLaterError
from workers.db.engine import insert_into
from workers.db.models import processed_events, reconciliations
from workers.parsing import microseconds_of, moment_of

TIMER: Final = "timer"
FIRST_PAGE: Final = 1

LEASE: Final = timedelta(seconds=120)
"""Longer than one conversation takes; a killed process's comparison waits this long."""

LATELY: Final = timedelta(minutes=5)
"""Older arrivals do not show whether events are still on their way."""

LATEST_EVENTS: Final = 500
"""Enough to include one of a journal's backlog among the events that arrive meanwhile."""

_R: Final = reconciliations.c

IS_UNDECIDED: Final = _R.mismatch.is_not(None) & _R.decided_by.is_(None) & (_R.started_by == TIMER)
"""The condition of a comparison that waits for an operator."""

_BEGIN: Final = insert_into(
    reconciliations,
    ("started_by", "compared_from", "compared_to", "page", "started_at", "held_by", "held_until"),
    "ON CONFLICT DO NOTHING RETURNING id",
)


class TakenOverError(RetryLaterError):
    """Another process continues this comparison: leave it to that process."""


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """One comparison, as recorded; `page` is the next of the platform's list, None when all are listed."""

    reconciliation_id: int
    compared_from_us: int
    compared_to_us: int
    page: int | None
    started_us: int
    ours: int = 0
    unmatched: int = 0


def begin_reconciliation(
    connection: Connection, started_by: str, compared_us: tuple[int, int], holder: str, now_us: int
) -> Reconciliation | None:
    """Record a new comparison and hold it; return None if the timer's is under way already.

    Only the timer's lists the platform's conversations from page to page.
    """
    page = FIRST_PAGE if started_by == TIMER else None
    held_until_us = now_us + LEASE // timedelta(microseconds=1)
    ids = _BEGIN.execute(connection, [(started_by, *compared_us, page, now_us, holder, held_until_us)])
    return Reconciliation(ids[0][0], *compared_us, page, now_us) if ids else None


def resume_reconciliation(connection: Connection, holder: str, now_us: int) -> Reconciliation | None:
    """Hold the timer's unfinished comparison, if it is ours or its lease has run out."""
    now = moment_of(now_us)
    may_hold = or_(_R.held_by == holder, _R.held_until < now)
    statement = update(reconciliations).where(_R.started_by == TIMER, _R.finished_at.is_(None), may_hold)
    statement = statement.values(held_by=holder, held_until=now + LEASE)
    columns = (_R.id, _R.compared_from, _R.compared_to, _R.page, _R.started_at, _R.ours, _R.unmatched)
    row = connection.execute(statement.returning(*columns)).one_or_none()
    if row is None:
        return None
    values = [microseconds_of(value) if isinstance(value, datetime) else value for value in row]
    return Reconciliation(*values)


def update_reconciliation(
    connection: Connection, reconciliation_id: int, holder: str, now_us: int, **changes: Any
) -> Row[Any]:
    """Record progress in the transaction of the work itself, and renew the lease; return the row.

    Raises:
        TakenOverError: Another process holds it: roll this transaction back.
    """
    statement = (
        update(reconciliations)
        .where(_R.id == reconciliation_id, _R.held_by == holder)
        .values(held_until=moment_of(now_us) + LEASE, **changes)
        .returning(reconciliations)
    )
    row = connection.execute(statement).one_or_none()
    if row is None:
        raise TakenOverError("another process has taken the comparison over", delay=1.0)
    return row


@dataclass(frozen=True, slots=True)
class Watermarks:
    """What the timer's earlier comparisons left; None if there was none.

    Args:
        first_from_us: Where the first one began to compare: this service did not exist before.
        compared_to_us: Where the last finished one that had the platform's list stopped comparing.
        is_blocked: Whether one ended with a mismatch that no operator has decided.
    """

    started_us: int | None = None
    first_from_us: int | None = None
    compared_to_us: int | None = None
    is_under_way: bool = False
    is_blocked: bool = False


def read_watermarks(connection: Connection) -> Watermarks:
    """Return what the timer's comparisons left."""
    has_list = _R.finished_at.is_not(None) & _R.unlisted.is_(None) & _R.mismatch.is_(None)
    query = select(
        func.max(_R.started_at),
        func.min(_R.compared_from),
        func.max(_R.compared_to).filter(has_list),
        func.count().filter(_R.finished_at.is_(None)),
        func.count().filter(IS_UNDECIDED),
    ).where(_R.started_by == TIMER)
    *moments, under_way, blocked = connection.execute(query).one()
    started, first_from, compared_to = (moment and microseconds_of(moment) for moment in moments)
    return Watermarks(started, first_from, compared_to, bool(under_way), bool(blocked))


def decide_mismatches(connection: Connection, operator: str) -> None:
    """Record that an operator has decided every mismatch: the timer's comparisons continue."""
    connection.execute(update(reconciliations).where(IS_UNDECIDED).values(decided_by=operator))


@dataclass(frozen=True, slots=True)
class Arrivals:
    """When recently processed webhooks arrived: the last one, and the oldest that exceeded the margin."""

    newest_us: int | None = None
    late_us: int | None = None


def read_arrivals(connection: Connection, now_us: int, margin_us: int, horizon_us: int) -> Arrivals:
    """Return when the latest webhooks arrived.

    Only webhooks count: a replayed event is old and does not show whether events are still to come. A time
    before the horizon is not that of a webhook either, whatever the event's headers contain.
    """
    events = processed_events.c
    is_recent = events.received_at >= moment_of(now_us - horizon_us)
    latest = select(events.received_at, events.processed_at).where(events.source == WEBHOOK, is_recent)
    rows = connection.execute(latest.order_by(events.id.desc()).limit(LATEST_EVENTS)).all()
    since, margin = moment_of(now_us) - LATELY, timedelta(microseconds=margin_us)
    late = [received for received, done in rows if done >= since and done - received > margin]
    newest = microseconds_of(rows[0][0]) if rows else None
    return Arrivals(newest, microseconds_of(min(late)) if late else None)
