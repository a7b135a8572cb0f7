"""Record how far a comparison with the platform's history has come, by whoever holds it at the moment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, func, or_, select, text, update

from messaging.envelope import WEBHOOK
from messaging.errors import RetryLaterError
from workers.db.models import processed_events, reconciliations
from workers.parsing import microseconds_of, moment_of

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

TIMER: Final = "timer"

HELD_FOR: Final = timedelta(seconds=120)
"""Above what one conversation takes; a killed process's work waits for so long."""

LATELY: Final = timedelta(minutes=5)
MAX_LATE: Final = timedelta(days=31)
"""The platform's longest interval. No comparison reaches further back."""
"""An event that was processed longer ago says nothing of what may still be on its way."""

LATEST_EVENTS: Final = 500
"""Enough to see one of a journal's backlog among those that come in meanwhile."""

_R: Final = reconciliations.c

IS_UNDECIDED: Final = _R.mismatch.is_not(None) & _R.decided_by.is_(None) & (_R.started_by == TIMER)
"""The condition of a comparison that waits for an operator."""

_BEGIN: Final = text(
    """
    INSERT INTO reconciliations
        (started_by, compared_from, compared_to, page, started_at, held_by, held_until)
    VALUES (:started_by, :compared_from, :compared_to, :page, :started_at, :held_by, :held_until)
    ON CONFLICT DO NOTHING RETURNING id
    """
).bindparams(
    *(
        bindparam(name, type_=_R[name].type)
        for name in ("compared_from", "compared_to", "started_at", "held_until")
    )
)


class TakenOverError(RetryLaterError):
    """Another process goes on with this comparison: leave it to that one."""


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """One comparison, as it stands.

    Args:
        reconciliation_id: `reconciliations.id`.
        compared_from_us: Compare what happened then or later, microseconds since the epoch.
        compared_to_us: Compare what happened before.
        page: Next page of the platform's list; None when all are listed.
        started_us: When it began.
        ours: Events of ours that were looked for in the history.
        unmatched: Of these, how many the history does not have.
    """

    reconciliation_id: int
    compared_from_us: int
    compared_to_us: int
    page: int | None
    started_us: int
    ours: int = 0
    unmatched: int = 0


def begin_reconciliation(
    connection: Connection,
    *,
    started_by: str,
    compared_from_us: int,
    compared_to_us: int,
    page: int | None,
    holder: str,
    now_us: int,
) -> Reconciliation | None:
    """Put a new comparison on record, held by us; None where the timer's is under way already."""
    now = moment_of(now_us)
    values = {
        "started_by": started_by,
        "compared_from": moment_of(compared_from_us),
        "compared_to": moment_of(compared_to_us),
        "page": page,
        "started_at": now,
        "held_by": holder,
        "held_until": now + HELD_FOR,
    }
    found = connection.execute(_BEGIN, values).scalar_one_or_none()
    return None if found is None else Reconciliation(found, compared_from_us, compared_to_us, page, now_us)


def take_up_reconciliation(connection: Connection, holder: str, now_us: int) -> Reconciliation | None:
    """Return the timer's unfinished comparison where it is ours or nobody's any more, held by us now."""
    now = moment_of(now_us)
    statement = (
        update(reconciliations)
        .where(
            _R.started_by == TIMER,
            _R.finished_at.is_(None),
            or_(_R.held_by == holder, _R.held_until < now),
        )
        .values(held_by=holder, held_until=now + HELD_FOR)
        .returning(reconciliations)
    )
    row = connection.execute(statement).one_or_none()
    return None if row is None else _reconciliation_of(row)


def note_reconciliation(
    connection: Connection, reconciliation_id: int, holder: str, now_us: int, **changes: Any
) -> None:
    """Write how far it is, in the transaction of what was done; and hold it on.

    Raises:
        TakenOverError: Somebody else holds it: what this transaction did is to be undone.
    """
    statement = (
        update(reconciliations)
        .where(_R.id == reconciliation_id, _R.held_by == holder)
        .values(held_until=moment_of(now_us) + HELD_FOR, **changes)
    )
    if connection.execute(statement).rowcount != 1:
        raise TakenOverError("another process has taken the comparison over", delay=1.0)


def reconciliation_row(connection: Connection, reconciliation_id: int) -> Row[Any]:
    """Return everything on record of one."""
    return connection.execute(select(reconciliations).where(_R.id == reconciliation_id)).one()


@dataclass(frozen=True, slots=True)
class Watermarks:
    """What earlier comparisons of the timer's left; None where there was none.

    Args:
        started_us: When the last one began.
        first_from_us: From where on the first one compared: nothing before this service was there.
        compared_to_us: Up to where the last finished one compared that had the platform's list.
        is_under_way: Whether one is not finished.
        is_blocked: Whether one ended with a mismatch about which no operator has decided.
    """

    started_us: int | None = None
    first_from_us: int | None = None
    compared_to_us: int | None = None
    is_under_way: bool = False
    is_blocked: bool = False


def read_watermarks(connection: Connection) -> Watermarks:
    """Return what the timer's comparisons left."""
    query = select(
        func.max(_R.started_at),
        func.min(_R.compared_from),
        func.max(_R.compared_to).filter(
            _R.finished_at.is_not(None), _R.unlisted.is_(None), _R.mismatch.is_(None)
        ),
        func.count().filter(_R.finished_at.is_(None)),
        func.count().filter(IS_UNDECIDED),
    ).where(_R.started_by == TIMER)
    started, first_from, compared_to, under_way, blocked = connection.execute(query).one()
    moments = [None if each is None else microseconds_of(each) for each in (started, first_from, compared_to)]
    return Watermarks(moments[0], moments[1], moments[2], bool(under_way), bool(blocked))


def decide_mismatches(connection: Connection, operator: str) -> None:
    """Record that an operator has decided about every mismatch: the timer's comparisons go on."""
    connection.execute(update(reconciliations).where(IS_UNDECIDED).values(decided_by=operator))


@dataclass(frozen=True, slots=True)
class Arrivals:
    """When the webhooks came in that were processed lately; None if there are none.

    Args:
        newest_us: The one that was processed last.
        late_us: The oldest of those that took longer than the margin.
    """

    newest_us: int | None = None
    late_us: int | None = None


def recent_arrivals(connection: Connection, now_us: int, margin_us: int, horizon_us: int) -> Arrivals:
    """Return when the latest webhooks came in.

    Only webhooks count: a replayed event is old and says nothing about what is still to come. A time before
    the horizon is not that of a webhook either, whatever the event's headers contain.
    """
    events = processed_events.c
    latest = (
        select(events.received_at, events.processed_at)
        .where(events.source == WEBHOOK, events.received_at >= moment_of(now_us - horizon_us))
        .order_by(events.id.desc())
        .limit(LATEST_EVENTS)
    )
    since, margin = moment_of(now_us) - LATELY, timedelta(microseconds=margin_us)
    rows = connection.execute(latest).all()
    late = [row[0] for row in rows if row[1] >= since and row[1] - row[0] > margin]
    return Arrivals(
        microseconds_of(rows[0][0]) if rows else None, microseconds_of(min(late)) if late else None
    )


def _reconciliation_of(row: Row[Any]) -> Reconciliation:
    return Reconciliation(
        row.id,
        microseconds_of(row.compared_from),
        microseconds_of(row.compared_to),
        row.page,
        microseconds_of(row.started_at),
        row.ours,
        row.unmatched,
    )
