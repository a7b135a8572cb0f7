"""List the SQL queries that a scrape runs. Counts are limited so that large tables do not slow the scrape."""

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import CTE, Column, ColumnElement, FromClause, Select, func, literal_column, select, table

from workers.db import models
from workers.db.reconcile import IS_UNDECIDED, TIMER

MAX_COUNTED: Final = 10_000
"""A count stops here and then means "10,000 or more"; counting 10,000 rows takes a few milliseconds."""


@dataclass(frozen=True, slots=True)
class MetricQuery:
    """A gauge and its query. A row has the labels and then the value: a number or, for an age, a time."""

    name: str
    help: str
    statement: Select[Any]

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the metric's labels."""
        return tuple(self.statement.selected_columns.keys()[:-1])


def _count(of: FromClause, *conditions: ColumnElement[bool]) -> Select[Any]:
    rows: Select[Any] = select(literal_column("1")).select_from(of).where(*conditions).limit(MAX_COUNTED)
    return select(func.count()).select_from(rows.subquery())


def _select_names(column: Column[Any], condition: ColumnElement[bool]) -> CTE:
    """Return the query for a column's distinct values, each found with one lookup in the column's index."""
    first = select(column.label("name")).where(condition).order_by(column).limit(1).subquery()
    names = select(first.c.name).cte("names", recursive=True)
    following = select(column).where(condition, column > names.c.name).order_by(column).limit(1)
    return names.union_all(
        select(following.correlate(names).scalar_subquery()).where(names.c.name.is_not(None))
    )


def _count_by(column: Column[Any], condition: ColumnElement[bool]) -> Select[Any]:
    names = _select_names(column, condition)
    one: Any = literal_column("1")
    rows: Select[Any] = select(one).where(condition, column == names.c.name).limit(MAX_COUNTED)
    return _by_name(names, column, select(func.count()).select_from(rows.correlate(names).subquery()))


def _oldest_by(column: Column[Any], condition: ColumnElement[bool], moment: Column[Any]) -> Select[Any]:
    names = _select_names(column, condition)
    oldest = select(moment).where(condition, column == names.c.name).order_by(moment).limit(1)
    return _by_name(names, column, oldest)


def _by_name(names: CTE, column: Column[Any], value: Select[Any]) -> Select[Any]:
    name = names.c.name
    return select(name.label(column.name), value.correlate(names).scalar_subquery()).where(name.is_not(None))


_P = models.processed_events.c
_NEWEST: Final = select(func.max(_P.id)).scalar_subquery()
_OPEN: Final = models.dead_letters.c.decided_at.is_(None)
_WAITING: Final = models.deliveries.c.outcome.is_(None)
_UNDECIDED: Final = models.routing_updates.c.decision.is_(None)
_R: Final = models.reconciliations.c


def _select_newest(column: ColumnElement[Any]) -> Select[Any]:
    """Return the query for a column of the last finished comparison that the timer started."""
    finished = select(column).where(_R.started_by == TIMER, _R.finished_at.is_not(None))
    return finished.order_by(_R.id.desc()).limit(1)


_PUBLISHED: Final = select(_R.published).order_by(_R.id.desc()).limit(MAX_COUNTED).subquery()
_FIRST_BEGAN: Final = (
    select(_R.started_at).where(_R.started_by == TIMER).order_by(_R.id).limit(1).scalar_subquery()
)

METRIC_QUERIES: Final = (
    MetricQuery(
        "om_processed_events_highest_id",
        "Highest id in processed_events; its rate approximates the rate of new events.",
        select(func.max(_P.id)),
    ),
    MetricQuery(
        "om_newest_event_age_seconds",
        "Time since the newest event was processed.",
        select(_P.processed_at).where(_P.id == _NEWEST),
    ),
    MetricQuery(
        "om_dead_letters",
        "Dead letters neither replayed nor discarded, by code; 10,000 means at least that many.",
        _count_by(models.dead_letters.c.code, _OPEN),
    ),
    MetricQuery(
        "om_dead_letter_oldest_age_seconds",
        "Age of the oldest dead letter neither replayed nor discarded, by code.",
        _oldest_by(models.dead_letters.c.code, _OPEN, models.dead_letters.c.recorded_at),
    ),
    MetricQuery(
        "om_conflicts",
        "Events with the key of another event and different content; 10,000 means at least that many.",
        # Count the rows of the view: the table contains bodies, so om-observe may not read it.
        _count(table("event_conflicts_v1")),
    ),
    MetricQuery(
        "om_drift_names",
        "Fields, values and types that this version does not know and no operator has accepted.",
        _count(models.drift, models.drift.c.accepted_at.is_(None)),
    ),
    MetricQuery(
        "om_windows_open",
        "Conversations whose window is not settled; 10,000 means at least that many.",
        _count(models.conversations, models.conversations.c.window_opened_at.is_not(None)),
    ),
    MetricQuery(
        "om_window_oldest_age_seconds",
        "Age of the oldest open window; about ten seconds while settle keeps up.",
        select(func.min(models.conversations.c.window_opened_at)).where(
            models.conversations.c.window_opened_at.is_not(None)
        ),
    ),
    MetricQuery(
        "om_routing_updates_waiting",
        "Routing updates that wait for the platform's answer; 10,000 means at least that many.",
        _count(models.routing_updates, _UNDECIDED),
    ),
    MetricQuery(
        "om_conversations_unsettled",
        "Conversations that could not be settled and are retried every five minutes; "
        "10,000 means at least that many.",
        _count(models.conversations, models.conversations.c.unsettled_because.is_not(None)),
    ),
    MetricQuery(
        "om_deliveries_waiting",
        "Deliveries that wait for their destination; 10,000 means at least that many.",
        _count_by(models.deliveries.c.destination, _WAITING),
    ),
    MetricQuery(
        "om_delivery_oldest_due_age_seconds",
        "Time since the oldest waiting delivery was due.",
        _oldest_by(models.deliveries.c.destination, _WAITING, models.deliveries.c.due_at),
    ),
    MetricQuery(
        "om_destination_paused",
        "1 while the destination is paused, by an operator or because it answered 410.",
        select(models.destinations.c.name.label("destination"), models.destinations.c.paused_at.is_not(None)),
    ),
    MetricQuery(
        "om_reconciliation_gaps",
        "Events that no webhook delivered; falls when retention deletes old comparisons.",
        # Sum the comparisons' counts: a day has 100 comparisons, but an outage can leave millions of gaps.
        select(func.coalesce(func.sum(_PUBLISHED.c.published), 0)),
    ),
    MetricQuery(
        "om_reconciliation_age_seconds",
        "Time since the worker's last comparison ended, or since its first began if none has ended.",
        # An operator's comparison does not count, because it often covers only one conversation.
        select(func.coalesce(_select_newest(_R.finished_at).scalar_subquery(), _FIRST_BEGAN)),
    ),
    MetricQuery(
        "om_reconciliation_passed_over",
        "Conversations that the last finished comparison could not compare.",
        _select_newest(_R.passed_over),
    ),
    MetricQuery(
        "om_reconciliation_unreadable",
        "Events of the platform's history that the last finished comparison could not compare.",
        _select_newest(_R.unreadable),
    ),
    MetricQuery(
        "om_reconciliation_mismatches",
        "Comparisons that wait for an operator because the platform's history lacks received events.",
        select(func.count()).select_from(models.reconciliations).where(IS_UNDECIDED),
    ),
)
