"""List the queries of each scrape. None reads more than MAX_COUNTED rows: a large table slows none down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import ColumnElement, FromClause, case, func, literal_column, select, table

from workers.db.models import (
    conversations,
    dead_letters,
    deliveries,
    destinations,
    drift,
    processed_events,
    reconciliation_gaps,
    reconciliations,
    routing_updates,
)
from workers.db.reconcile import IS_UNDECIDED, TIMER

if TYPE_CHECKING:
    from sqlalchemy import CTE, Column, Select

MAX_COUNTED: Final = 10_000
"""A count that reaches it means "at least": more than an operator needs to know, in some milliseconds."""

MAX_GAPS: Final = 100_000
"""Its rises are added up for a week's success rate, so it is counted further."""


@dataclass(frozen=True, slots=True)
class Question:
    """One metric, a gauge: what it is now.

    Args:
        name: The metric's, with its unit.
        help: What Prometheus shows beside it.
        statement: Selects the labels' values, then the number, or the moment where `is_age`.
        labels: The labels' names.
        is_age: Whether the last column is a moment whose age in seconds is told.
    """

    name: str
    help: str
    statement: Select[Any]
    labels: tuple[str, ...] = ()
    is_age: bool = False


def _counted(of: FromClause, *conditions: ColumnElement[bool], most: int = MAX_COUNTED) -> Select[Any]:
    rows: Select[Any] = select(literal_column("1")).select_from(of).where(*conditions).limit(most)
    return select(func.count()).select_from(rows.subquery())


def _names(column: Column[Any], condition: ColumnElement[bool]) -> CTE:
    """Return a column's distinct values, each found by one look into the index that begins with it."""
    first = select(column.label("name")).where(condition).order_by(column).limit(1).subquery()
    names = select(first.c.name).cte("names", recursive=True)
    following = select(column).where(condition, column > names.c.name).order_by(column).limit(1)
    return names.union_all(
        select(following.correlate(names).scalar_subquery()).where(names.c.name.is_not(None))
    )


def _counted_by(column: Column[Any], condition: ColumnElement[bool]) -> Select[Any]:
    names = _names(column, condition)
    one: Any = literal_column("1")
    rows: Select[Any] = select(one).where(condition, column == names.c.name).limit(MAX_COUNTED)
    count = select(func.count()).select_from(rows.correlate(names).subquery()).correlate(names)
    return select(names.c.name, count.scalar_subquery()).where(names.c.name.is_not(None))


def _oldest_by(column: Column[Any], condition: ColumnElement[bool], moment: Column[Any]) -> Select[Any]:
    names = _names(column, condition)
    oldest = select(moment).where(condition, column == names.c.name).order_by(moment).limit(1)
    return select(names.c.name, oldest.correlate(names).scalar_subquery()).where(names.c.name.is_not(None))


_P = processed_events.c
_NEWEST: Final = select(func.max(_P.id)).scalar_subquery()
_OPEN: Final = dead_letters.c.decided_at.is_(None)
_WAITING: Final = deliveries.c.outcome.is_(None)
_UNDECIDED: Final = routing_updates.c.decision.is_(None)
_R: Final = reconciliations.c


def _newest(column: ColumnElement[Any]) -> Select[Any]:
    """Return a column of the timer's last finished comparison."""
    finished = select(column).where(_R.started_by == TIMER, _R.finished_at.is_not(None))
    return finished.order_by(_R.id.desc()).limit(1)


QUESTIONS: Final = (
    Question(
        "om_processed_events_highest_id",
        "The newest row of processed_events; its rate is near that of events that took effect.",
        select(func.max(_P.id)),
    ),
    Question(
        "om_newest_event_age_seconds",
        "Since the newest event was processed.",
        select(_P.processed_at).where(_P.id == _NEWEST),
        is_age=True,
    ),
    Question(
        "om_dead_letters",
        "Dead letters not yet replayed or discarded, by their code; 10,000 means at least as many.",
        _counted_by(dead_letters.c.code, _OPEN),
        ("code",),
    ),
    Question(
        "om_dead_letter_oldest_age_seconds",
        "Since the oldest dead letter of that code not yet replayed or discarded was recorded.",
        _oldest_by(dead_letters.c.code, _OPEN, dead_letters.c.recorded_at),
        ("code",),
        is_age=True,
    ),
    Question(
        "om_conflicts",
        "Bodies that came under the key of another; 10,000 means at least as many.",
        # The view: the table has bodies, which the reader's role must not read.
        _counted(table("duplicate_events_v1")),
    ),
    Question(
        "om_drift_names",
        "Fields, values and types that this version does not know and nobody has accepted.",
        _counted(drift, drift.c.accepted_at.is_(None)),
    ),
    Question(
        "om_windows_open",
        "Conversations whose window is not settled; 10,000 means at least as many.",
        _counted(conversations, conversations.c.window_opened_at.is_not(None)),
    ),
    Question(
        "om_window_oldest_age_seconds",
        "Since the oldest open window was opened; some ten seconds where settling keeps up.",
        select(func.min(conversations.c.window_opened_at)).where(
            conversations.c.window_opened_at.is_not(None)
        ),
        is_age=True,
    ),
    Question(
        "om_routing_updates_waiting",
        "Routing updates that wait for the platform's answer; 10,000 means at least as many.",
        _counted(routing_updates, _UNDECIDED),
    ),
    Question(
        "om_conversations_unsettled",
        "Conversations that could not be settled, and are tried again every five minutes; "
        "10,000 means at least as many.",
        _counted(conversations, conversations.c.unsettled_because.is_not(None)),
    ),
    Question(
        "om_deliveries_waiting",
        "Deliveries to the services behind that wait; 10,000 means at least as many.",
        _counted_by(deliveries.c.destination, _WAITING),
        ("destination",),
    ),
    Question(
        "om_delivery_oldest_due_age_seconds",
        "Since the oldest delivery that waits was due.",
        _oldest_by(deliveries.c.destination, _WAITING, deliveries.c.due_at),
        ("destination",),
        is_age=True,
    ),
    Question(
        "om_destination_paused",
        "1 where nothing is delivered, by an operator's or the destination's own word.",
        select(destinations.c.name, case((destinations.c.paused_at.is_(None), 0), else_=1)),
        ("destination",),
    ),
    Question(
        "om_reconciliation_gaps",
        "Events that the platform had and nobody had brought; it falls when retention deletes old ones.",
        _counted(reconciliation_gaps, most=MAX_GAPS),
    ),
    Question(
        "om_reconciliation_age_seconds",
        "Since the worker's last comparison with the platform's history ended.",
        # What a person compares meanwhile, often one conversation, says nothing of the others.
        select(_R.finished_at)
        .where(_R.started_by == TIMER, _R.finished_at.is_not(None))
        .order_by(_R.id.desc())
        .limit(1),
        is_age=True,
    ),
    Question(
        "om_reconciliation_passed_over",
        "Conversations that the worker's last finished comparison could not compare.",
        _newest(_R.passed_over),
    ),
    Question(
        "om_reconciliation_unreadable",
        "Events of the platform's history that the worker's last finished comparison could not compare.",
        _newest(_R.unreadable),
    ),
    Question(
        "om_reconciliation_mismatches",
        "Comparisons that wait for an operator, since the platform's history lacks our events.",
        select(func.count()).select_from(reconciliations).where(IS_UNDECIDED),
    ),
)
