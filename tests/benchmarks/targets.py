"""Name what must be reached, what is aimed at, and where in the results it is found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from tests.benchmarks import backlog, end_to_end, growth, ingest, intake, latency, memory

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.benchmarks.results import Results

Reading: TypeAlias = "Callable[[Results], float | None]"


@dataclass(frozen=True, slots=True)
class Target:
    """One line of the table.

    Args:
        name: Short, for the last line and the JSON.
        title: For people.
        read: Takes the figure from the results; None where it was not measured.
        must: What makes the run fail when missed; None for what is only reported.
        aim: What would be good.
        is_ceiling: Whether less is better.
    """

    name: str
    title: str
    read: Reading
    must: float | None = None
    aim: float | None = None
    is_ceiling: bool = False

    def is_reached(self, value: float, mark: float | None) -> bool:
        """Tell whether a value is as good as a mark, or better."""
        return mark is None or (value <= mark if self.is_ceiling else value >= mark)


def _ratio(scenario: str, above: str, below: str, figure: str = "per_second") -> Reading:
    return lambda results: results.ratio((scenario, above, figure), (scenario, below, figure))


def _median(scenario: str, subject: str, figure: str) -> Reading:
    return lambda results: results.median(scenario, subject, figure)


def _end_to_end(results: Results) -> float | None:
    return results.ratio(
        (end_to_end.THROUGHPUT, end_to_end.SERVICE, "per_second"),
        (ingest.SCENARIO, ingest.NOOP, "per_second"),
    )


TARGETS: Final = (
    Target(
        "ingest_vs_noop",
        "ingest ÷ Flask no-op under gthread",
        _ratio(ingest.SCENARIO, ingest.SERVICE, ingest.NOOP),
        must=0.75,
        aim=1.1,
    ),
    Target(
        "ingest_vs_pika",
        "ingest ÷ Flask + pika in the request, no confirms",
        _ratio(ingest.SCENARIO, ingest.SERVICE, ingest.FLASK_PIKA),
        must=2.0,
        aim=3.0,
    ),
    Target(
        "edge_cpu_vs_noop",
        "edge CPU per request ÷ Flask no-op's",
        _ratio(ingest.SCENARIO, ingest.SERVICE, ingest.NOOP, "receiver_cpu_us"),
        must=1.05,
        aim=0.65,
        is_ceiling=True,
    ),
    Target(
        "intake_vs_bare",
        "intake ÷ bare pika + insert per 100, PostgreSQL",
        _ratio(intake.POSTGRESQL, intake.SERVICE, intake.BARE),
        must=0.4,
        aim=0.5,
    ),
    Target(
        "intake_vs_single",
        "intake ÷ the same effects, one event per transaction",
        _ratio(intake.POSTGRESQL, intake.SERVICE, intake.SINGLE),
        must=6,
        aim=8,
    ),
    Target(
        "intake_vs_bare_sqlite",
        "intake ÷ bare pika + insert per 100, SQLite",
        _ratio(intake.SQLITE, intake.SERVICE, intake.BARE),
        must=0.4,
        aim=0.5,
    ),
    Target("end_to_end_vs_noop", "HTTP to committed effect ÷ Flask no-op", _end_to_end, must=0.3, aim=0.4),
    Target(
        "p99_half_load_ms",
        "p99 at half of its own capacity, open loop (ms)",
        _median(latency.HALF_LOAD, ingest.SERVICE, "p99_ms"),
        must=10,
        aim=5,
        is_ceiling=True,
    ),
    Target(
        "p99_frozen_ratio",
        "p99 with the broker frozen ÷ with it there",
        _median(latency.FROZEN, ingest.SERVICE, "p99_ratio"),
        must=2,
        aim=1.2,
        is_ceiling=True,
    ),
    Target(
        "p99_away_ratio",
        "p99 with the broker away ÷ with it there",
        _median(latency.AWAY, ingest.SERVICE, "p99_ratio"),
        must=2,
        aim=1.2,
        is_ceiling=True,
    ),
    Target(
        "commit_p50_ms",
        "first byte in to effect committed, 200/s: p50 (ms)",
        _median(end_to_end.DELAY, end_to_end.SERVICE, "p50_ms"),
        must=30,
        aim=15,
        is_ceiling=True,
    ),
    Target(
        "commit_p99_ms",
        "first byte in to effect committed, 200/s: p99 (ms)",
        _median(end_to_end.DELAY, end_to_end.SERVICE, "p99_ms"),
        must=100,
        aim=50,
        is_ceiling=True,
    ),
    Target(
        "growth",
        "intake with 5 million rows ÷ with 10 thousand",
        _ratio(growth.SCENARIO, growth.LARGE, growth.SMALL),
        must=0.8,
        aim=0.9,
    ),
    Target(
        "backlog_vs_publish",
        "republishing a million entries ÷ pika publish ceiling",
        _median(backlog.SCENARIO, backlog.SERVICE, "republish_vs_ceiling"),
        must=0.5,
    ),
    Target(
        "backlog_ingest",
        "ingest meanwhile ÷ without a backlog",
        _median(backlog.SCENARIO, backlog.SERVICE, "ingest_vs_normal"),
        must=0.5,
    ),
    Target(
        "edge_memory_mb",
        "largest edge process over a million events (MB)",
        _median(memory.SCENARIO, memory.EDGE, "largest_mb"),
        must=90,
        is_ceiling=True,
    ),
    Target(
        "edge_memory_growth_mb",
        "its growth over the last three quarters (MB)",
        _median(memory.SCENARIO, memory.EDGE, "growth_mb"),
        must=memory.FLAT_MEGABYTES,
        is_ceiling=True,
    ),
    Target(
        "worker_memory_mb",
        "worker process over a million events (MB)",
        _median(memory.SCENARIO, memory.WORKER, "largest_mb"),
        must=150,
        is_ceiling=True,
    ),
    Target(
        "worker_memory_growth_mb",
        "its growth over the last three quarters (MB)",
        _median(memory.SCENARIO, memory.WORKER, "growth_mb"),
        must=memory.FLAT_MEGABYTES,
        is_ceiling=True,
    ),
    Target(
        "bytes_per_event",
        "bytes in SQL per event, indexes included",
        _median(growth.SCENARIO, growth.SMALL, "bytes_per_event"),
    ),
)

LAST_LINE: Final = (
    "ingest_vs_noop",
    "ingest_vs_pika",
    "edge_cpu_vs_noop",
    "intake_vs_bare",
    "intake_vs_single",
    "end_to_end_vs_noop",
    "p99_half_load_ms",
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A target and what was reached; `value` is None where it was not measured."""

    target: Target
    value: float | None

    @property
    def is_missed(self) -> bool:
        """Whether it was measured and the must is not reached."""
        return self.value is not None and not self.target.is_reached(self.value, self.target.must)

    @property
    def word(self) -> str:
        """How good it is in a word."""
        if self.value is None:
            return "not measured"
        if self.is_missed:
            return "missed"
        has_aim = self.target.aim is not None
        return "aim" if has_aim and self.target.is_reached(self.value, self.target.aim) else "reached"


def judge(results: Results) -> list[Verdict]:
    """Hold the results against every target."""
    return [Verdict(target, target.read(results)) for target in TARGETS]
