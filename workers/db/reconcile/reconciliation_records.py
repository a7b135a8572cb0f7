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

LEASE: Final = timedelta(seconds=120)
"""Duration of a comparison's lease. If the process is killed, another takes over when the lease ends."""

LATEST_EVENTS: Final = 500
"""Number of newest webhook events to examine: enough to include a backlog's events even under live load."""

_R: Final = reconciliations.c

IS_UNDECIDED: Final = _R.mismatch.is_not(None) & _R.decided_by.is_(None) & (_R.started_by == TIMER)
"""SQL condition for the timer's comparisons whose mismatch no operator has resolved yet."""

_BEGIN: Final = insert_into(
    reconciliations,
    ("started_by", "compared_from", "compared_to", "page", "started_at", "held_by", "held_until"),
    "ON CONFLICT DO NOTHING RETURNING id",
)


class TakenOverError(RetryLaterError):
    """Stop working on this comparison, because another process continues it."""


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """A comparison; `page` is the next page of the platform's list, or None after the last page."""

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
    """Record and lease a new comparison; return None if the timer's comparison is already under way."""
    # Only the timer's comparison lists the platform's conversations, page by page.
    page = 1 if started_by == TIMER else None
    held_until_us = now_us + LEASE // timedelta(microseconds=1)
    ids = _BEGIN.execute(connection, [(started_by, *compared_us, page, now_us, holder, held_until_us)])
    return Reconciliation(ids[0][0], *compared_us, page, now_us) if ids else None


def resume_reconciliation(connection: Connection, holder: str, now_us: int) -> Reconciliation | None:
    """Lease the timer's unfinished comparison to *holder*; None if none exists or another process has it."""
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
    """Record a comparison's progress and renew its lease; raise TakenOverError if the lease is lost."""
    statement = update(reconciliations).values(held_until=moment_of(now_us) + LEASE, **changes)
    held = statement.where(_R.id == reconciliation_id, _R.held_by == holder)
    row = connection.execute(held.returning(reconciliations)).one_or_none()
    if row is None:
        raise TakenOverError("another process has taken over the comparison", delay=1.0)
    return row


@dataclass(frozen=True, slots=True)
class ComparisonWatermarks:
    """The results of the timer's earlier comparisons. A time is None if there was no such comparison.

    Args:
        first_from_us: Start of the first comparison's interval; the service did not run before that time.
        compared_to_us: End of the last interval for which the list was available and no mismatch was found.
        is_blocked: Whether a comparison ended with a mismatch that no operator has resolved yet.
    """

    started_us: int | None = None
    first_from_us: int | None = None
    compared_to_us: int | None = None
    is_under_way: bool = False
    is_blocked: bool = False


def read_watermarks(connection: Connection) -> ComparisonWatermarks:
    """Return the results of the timer's comparisons."""
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
    return ComparisonWatermarks(started, first_from, compared_to, bool(under_way), bool(blocked))


def decide_mismatches(connection: Connection, operator: str) -> None:
    """Record that an operator has decided on all mismatches, so that the timer's comparisons continue."""
    connection.execute(update(reconciliations).where(IS_UNDECIDED).values(decided_by=operator))


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Arrival times of recent webhooks: of the newest, and of the oldest that was processed late."""

    newest_us: int | None = None
    late_us: int | None = None


def read_arrivals(connection: Connection, now_us: int, margin_us: int, horizon_us: int) -> Arrivals:
    """Return when recent webhooks arrived; those processed more than *margin_us* later count as late.

    Only webhooks count, because a replayed event is old and does not show whether more events will arrive.
    Events received more than *horizon_us* ago do not count, because no real webhook is that old.
    """
    events = processed_events.c
    is_recent = events.received_at >= moment_of(now_us - horizon_us)
    latest = select(events.received_at, events.processed_at).where(events.source == WEBHOOK, is_recent)
    rows = connection.execute(latest.order_by(events.id.desc()).limit(LATEST_EVENTS)).all()
    # Only events that were processed in the last five minutes show whether events are still on their way.
    since, margin = moment_of(now_us) - timedelta(minutes=5), timedelta(microseconds=margin_us)
    late = [received for received, done in rows if done >= since and done - received > margin]
    newest = microseconds_of(rows[0][0]) if rows else None
    return Arrivals(newest, microseconds_of(min(late)) if late else None)
