"""Say how long and how often each thing is measured."""

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
    """

    rounds: int
    requests: int
    ingest_seconds: float
    publish_events: int
    intake_events: int
    single_events: int
    open_loop_seconds: float
    many_events: int
    table_rows: tuple[int, ...]
    is_full: bool


FULL: Final = Plan(
    rounds=3,
    requests=1_300_000,
    ingest_seconds=5.0,
    publish_events=60_000,
    intake_events=20_000,
    single_events=2_000,
    open_loop_seconds=7.5,
    many_events=1_000_000,
    table_rows=(1_000_000, 5_000_000),
    is_full=True,
)

QUICK: Final = Plan(
    rounds=2,
    requests=300_000,
    ingest_seconds=3.0,
    publish_events=15_000,
    intake_events=10_000,
    single_events=1_500,
    open_loop_seconds=5.0,
    many_events=50_000,
    table_rows=(200_000,),
    is_full=False,
)
