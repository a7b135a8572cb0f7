"""Report the state of each destination: what waits for it, since when, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from workers.db.models import deliveries, destinations, outbox

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy import Connection

    from workers.deliver import Destination


@dataclass(frozen=True, slots=True)
class DestinationState:
    """What a person is told of one destination."""

    name: str
    url: str
    events: tuple[str, ...]
    state: str
    waiting: int
    oldest_waiting_at: datetime | None
    last_failure: str


def states(connection: Connection, configured: Mapping[str, Destination]) -> list[DestinationState]:
    """Return the configured ones, and those that something waits for though they are not."""
    known = {row.name: row for row in connection.execute(select(destinations))}
    d = deliveries.c
    waiting_of = (
        select(
            d.destination,
            func.count().label("waiting"),
            func.min(outbox.c.created_at).label("oldest"),
        )
        .join(outbox, outbox.c.id == d.outbox_id)
        .where(d.outcome.is_(None))
        .group_by(d.destination)
    )
    waiting = {row.destination: row for row in connection.execute(waiting_of)}
    failures = _last_failures(connection)
    rows = []
    for name in sorted({*configured, *waiting}):
        destination, found = configured.get(name), waiting.get(name)
        rows.append(
            DestinationState(
                name,
                destination.shown_url if destination else "",
                destination.events if destination else (),
                _state(destination, known.get(name)),
                found.waiting if found else 0,
                found.oldest if found else None,
                failures.get(name, ""),
            )
        )
    return rows


def _last_failures(connection: Connection) -> dict[str, str]:
    """Return by destination why what waits failed last.

    When each failed is not on record: the one that is tried again last is taken for the last. The pauses
    grow by the attempt and are jittered, so among failures of the same minutes it may be another.
    """
    d = deliveries.c
    newest_first = (d.due_at.desc(), d.outbox_id.desc())
    place = func.row_number().over(partition_by=d.destination, order_by=newest_first).label("place")
    failed = (
        select(d.destination, d.reason, place)
        .where(d.outcome.is_(None), d.reason.is_not(None))
        .subquery("failed")
    )
    last = select(failed.c.destination, failed.c.reason).where(failed.c.place == 1)
    return {row.destination: row.reason for row in connection.execute(last)}


def _state(destination: Destination | None, known: object) -> str:
    if destination is None:
        return "not configured"
    if not destination.enabled:
        return "not enabled"
    if known is None:
        return "no deliver process yet"
    because = getattr(known, "paused_because", None)
    return f"paused ({because})" if because else "delivered to"
