"""The questions to the database at each scrape: an index or a small table answers every one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import case, func, select

from workers.tables import (
    TIMER,
    conversations,
    dead_letters,
    deliveries,
    destinations,
    drift,
    duplicate_events,
    processed_events,
    reconciliation_gaps,
    reconciliations,
    routing_updates,
)

if TYPE_CHECKING:
    from sqlalchemy import Select


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


_P = processed_events.c
_NEWEST: Final = select(func.max(_P.id)).scalar_subquery()
_OPEN: Final = dead_letters.c.intervention_id.is_(None)
_WAITING: Final = deliveries.c.outcome.is_(None)
_UNDECIDED: Final = routing_updates.c.decision.is_(None)
_R: Final = reconciliations.c

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
        "Dead letters that nobody has worked off, by the code of their reason.",
        select(dead_letters.c.code, func.count()).where(_OPEN).group_by(dead_letters.c.code),
        ("code",),
    ),
    Question(
        "om_dead_letter_oldest_age_seconds",
        "Since the oldest dead letter of that code that nobody has worked off was recorded.",
        select(dead_letters.c.code, func.min(dead_letters.c.recorded_at))
        .where(_OPEN)
        .group_by(dead_letters.c.code),
        ("code",),
        is_age=True,
    ),
    Question(
        "om_conflicts",
        "Bodies that came under the key of another.",
        select(func.count()).select_from(duplicate_events),
    ),
    Question(
        "om_drift_names",
        "Fields, values and types that this version does not know and nobody has accepted.",
        select(func.count()).select_from(drift).where(drift.c.accepted_at.is_(None)),
    ),
    Question(
        "om_windows_open",
        "Conversations whose window has not been settled.",
        select(func.count()).select_from(conversations).where(conversations.c.window_opened_at.is_not(None)),
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
        "Routing updates that wait for the platform's word.",
        select(func.count()).select_from(routing_updates).where(_UNDECIDED),
    ),
    Question(
        "om_deliveries_waiting",
        "Deliveries to the services behind that wait.",
        select(deliveries.c.destination, func.count()).where(_WAITING).group_by(deliveries.c.destination),
        ("destination",),
    ),
    Question(
        "om_delivery_oldest_due_age_seconds",
        "Since the oldest delivery that waits was due.",
        select(deliveries.c.destination, func.min(deliveries.c.due_at))
        .where(_WAITING)
        .group_by(deliveries.c.destination),
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
        select(func.count()).select_from(reconciliation_gaps),
    ),
    Question(
        "om_reconciliation_age_seconds",
        "Since the worker's last comparison with the platform's history ended.",
        # What a person compares meanwhile, often one conversation, says nothing of the others.
        select(func.max(_R.finished_at)).where(_R.started_by == TIMER),
        is_age=True,
    ),
    Question(
        "om_reconciliation_passed_over",
        "Conversations that the worker's last finished comparison could not compare.",
        select(_R.passed_over)
        .where(_R.started_by == TIMER, _R.finished_at.is_not(None))
        .order_by(_R.id.desc())
        .limit(1),
    ),
)
