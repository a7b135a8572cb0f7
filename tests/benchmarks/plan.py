"""Define how long and how often each thing is measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Plan:
    """The sizes of one run; times in seconds.

    Args:
        rounds: How often each subject is measured, in turn with the others.
        requests: Distinct requests prepared; more than any receiver answers in one measurement.
        many_events: What passes, or waits in the journal, where the target says a million.
        table_rows: Rows of the larger tables that growth is measured on.
        old_rows: Rows of the table from which old ones are deleted.
    """

    rounds: int = 3
    requests: int = 1_300_000
    ingest_seconds: float = 5.0
    publish_events: int = 60_000
    intake_events: int = 20_000
    single_events: int = 2_000
    open_loop_seconds: float = 7.5
    many_events: int = 1_000_000
    table_rows: tuple[int, ...] = (1_000_000, 5_000_000, 20_000_000)
    old_rows: int = 5_000_000
    is_full: bool = True

    @property
    def is_whole(self) -> bool:
        """Return whether pages may quote the run: no fewer rounds and no smaller tables than a full one."""
        return self.is_full and self.rounds >= FULL.rounds and set(self.table_rows) >= set(FULL.table_rows)


FULL: Final = Plan()
QUICK: Final = Plan(2, 300_000, 3.0, 15_000, 10_000, 1_500, 5.0, 50_000, (200_000,), 200_000, is_full=False)
