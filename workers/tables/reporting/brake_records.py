"""Put on record which intake workers hold their events, and who tells them to go on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, delete, select, update

from workers.parsing import microseconds_of, moment_of
from workers.tables.database import insert_into
from workers.tables.models import UtcDateTime, brakes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

ENDED_SECONDS: Final = 120.0
"""A worker that holds its events tries one every 30 s at least; of one that is silent for so long only the
record is left."""

_B: Final = brakes.c
IS_BRAKED_NOW: Final = _B.tried_at >= bindparam(
    "tried_since", type_=UtcDateTime(), callable_=lambda: _alive_since(datetime.now(UTC))
)
"""Holds of a worker that holds its events at the moment at which a statement with it is executed."""

_NOTE: Final = insert_into(
    brakes,
    ("worker", "braked_at", "judged", "died", "tried_at"),
    """
    ON CONFLICT (worker) DO UPDATE SET braked_at = excluded.braked_at, judged = excluded.judged,
        died = excluded.died, tried_at = excluded.tried_at
    """,
)


@dataclass(frozen=True, slots=True)
class BrakeRecord:
    """A worker that holds its events.

    Args:
        worker: Host and name.
        braked_at: Since when.
        judged: How many events it had judged by then.
        died: How many of those had become dead letters.
        released_until: Until when it is told to hold nothing; it has not noticed yet.
    """

    worker: str
    braked_at: datetime
    judged: int
    died: int
    released_until: datetime | None


def note_brake(
    connection: Connection, worker: str, *, braked_us: int, judged: int, died: int, now_us: int
) -> int | None:
    """Put on record that a worker holds its events and has tried one.

    Returns:
        Until when a person has told it to hold nothing, microseconds since the epoch.
    """
    _NOTE.execute(connection, [(worker, braked_us, judged, died, now_us)])
    until = connection.scalar(select(_B.released_until).where(_B.worker == worker))
    return None if until is None else microseconds_of(until)


def forget_brake(connection: Connection, worker: str) -> None:
    """Take off the record that a worker holds its events."""
    connection.execute(delete(brakes).where(_B.worker == worker))


def braked_workers(connection: Connection, now_us: int) -> list[BrakeRecord]:
    """Return the workers that hold their events now."""
    columns = [_B[name] for name in BrakeRecord.__dataclass_fields__]
    is_alive = _B.tried_at >= _alive_since(moment_of(now_us))
    query = select(*columns).where(is_alive).order_by(_B.worker)
    return [BrakeRecord(*row) for row in connection.execute(query)]


def release_brakes(
    connection: Connection, workers: Sequence[str], until_us: int, intervention_id: str
) -> None:
    """Tell workers to hold nothing for a time; each notices when it tries its next event."""
    released = update(brakes).where(_B.worker.in_(workers))
    connection.execute(released.values(released_until=moment_of(until_us), intervention_id=intervention_id))


def _alive_since(now: datetime) -> datetime:
    return now - timedelta(seconds=ENDED_SECONDS)
