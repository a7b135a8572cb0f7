"""Define how long and how often each subject is measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Plan:
    """The sizes of one run; times are in seconds.

    Args:
        rounds: How often each subject is measured. Each round measures all subjects of a scenario once.
        requests: The number of distinct requests to prepare: more than any receiver answers in a measurement.
        many_events: The number of events in the scenarios with the most events; a million in a full run.
        table_rows: The numbers of rows in the larger tables on which growth is measured.
        old_rows: The number of old rows in the table from which retain deletes rows.
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
        """Whether pages may quote the run: it has at least the rounds and the tables of a full run."""
        return self.is_full and self.rounds >= FULL.rounds and set(self.table_rows) >= set(FULL.table_rows)


FULL: Final = Plan()
QUICK: Final = Plan(2, 300_000, 3.0, 15_000, 10_000, 1_500, 5.0, 50_000, (200_000,), 200_000, is_full=False)
