"""Record what edge processes answered, each interval once, and add it up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import func, select

from messaging.edge_statistics import BOUNDS_SECONDS, OTHER, STATUSES
from workers.db.engine import insert_into
from workers.db.models import edge_statistics

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from sqlalchemy import Connection

    from messaging.edge_statistics import EdgeStatistics

_WITHIN: Final = ("within_10_ms", "within_100_ms", "within_1_s", "within_3_s", "within_10_s")
_REFUSALS: Final = (*(f"status_{status}" for status in STATUSES), "other_refusals")
assert len(_WITHIN) == len(BOUNDS_SECONDS)

_E: Final = edge_statistics.c
_RECORD: Final = insert_into(
    edge_statistics,
    (
        "process",
        "began_at",
        "edge",
        "duration_us",
        "answered",
        *_WITHIN,
        "longest_us",
        *_REFUSALS,
    ),
    "ON CONFLICT (process, began_at) DO NOTHING",
)


def record_edge_statistics(connection: Connection, told: Iterable[EdgeStatistics]) -> None:
    """Record intervals; one that is on record already stays as it is, and is not counted again."""
    rows = {(each.process, each.began_at_us): _row_of(each) for each in told}
    if rows:
        _RECORD.execute(connection, [rows[key] for key in sorted(rows)])


def _row_of(told: EdgeStatistics) -> tuple[object, ...]:
    refusals = [told.refused.get(str(status), 0) for status in (*STATUSES, OTHER)]
    return (
        told.process,
        told.began_at_us,
        told.edge,
        round(told.seconds * 1_000_000),
        told.answered,
        *told.within,
        told.longest_us,
        *refusals,
    )


@dataclass(frozen=True, slots=True)
class Acknowledgements:
    """What all edge processes answered together.

    Args:
        answered: Webhooks answered 200.
        within: How many of those within each of BOUNDS_SECONDS.
        longest_s: The longest; None where there was none.
        refused: Refusals by status, the last those of any other.
    """

    answered: int
    within: tuple[int, ...]
    longest_s: float | None
    refused: dict[str, int]

    def percent_within(self, seconds: float) -> float | None:
        """Return the percentage answered within one of BOUNDS_SECONDS; None where nothing was answered."""
        if not self.answered:
            return None
        return 100.0 * self.within[BOUNDS_SECONDS.index(seconds)] / self.answered


def acknowledgements_since(connection: Connection, since: datetime) -> Acknowledgements:
    """Add up the intervals that began at *since* or later."""
    sums = [func.sum(_E[name]) for name in ("answered", *_WITHIN, *_REFUSALS)]
    query = select(func.max(_E.longest_us), *sums).where(_E.began_at >= since)
    longest_us, *counts = connection.execute(query).one()
    answered, *others = [int(count or 0) for count in counts]
    refusals = others[len(_WITHIN) :]
    return Acknowledgements(
        answered,
        tuple(others[: len(_WITHIN)]),
        None if longest_us is None else longest_us / 1_000_000,
        dict(zip([*map(str, STATUSES), OTHER], refusals, strict=True)),
    )
