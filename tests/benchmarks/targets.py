"""Name what must be reached, what is aimed at, and which figures tell it."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from tests.benchmarks.memory import FLAT_MEGABYTES
from tests.benchmarks.results import Figure, spread_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.benchmarks.results import Results

Reading: TypeAlias = "Callable[[Results], list[float]]"


@dataclass(frozen=True, slots=True)
class Target:
    """One line of the table.

    Args:
        name: Short, for the last line and the JSON.
        title: For people.
        read: Takes the figure of every round from the results.
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


@dataclass(frozen=True, slots=True)
class Verdict:
    """A target and what was reached in each round; no round where it was not measured."""

    target: Target
    rounds: list[float]

    @property
    def value(self) -> float | None:
        """The median of the rounds."""
        return median(self.rounds) if self.rounds else None

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
        if self.target.aim is None:
            return "reported" if self.target.must is None else "reached"
        return "aim reached" if self.target.is_reached(self.value, self.target.aim) else "reached"

    def as_json(self) -> dict[str, Any]:
        """Return what pages quote, marks as text."""
        sign = "≤" if self.target.is_ceiling else "≥"
        marks = {"must": self.target.must, "aim": self.target.aim}
        texts = {name: None if mark is None else f"{sign} {mark:g}" for name, mark in marks.items()}
        return {"title": self.target.title, **texts, "verdict": self.word, **spread_of(self.rounds)}


def judge(results: Results) -> list[Verdict]:
    """Hold the results against every target."""
    return [Verdict(target, target.read(results)) for target in TARGETS]


def _figure(words: str) -> Reading:
    """Read a figure: its scenario, subject and name."""
    figure = Figure(*words.split())
    return lambda results: results.rounds(figure)


def _ratio(above: str, below: str) -> Reading:
    """Read the ratio of two figures round by round."""
    figures = Figure(*above.split()), Figure(*below.split())
    return lambda results: results.ratios(*figures)


def _per_second(above: str, below: str) -> Reading:
    return _ratio(f"{above} per_second", f"{below} per_second")


def _edge_cpu(above: str, below: str) -> Reading:
    return _ratio(f"ingest {above} receiver_cpu_us", f"ingest {below} receiver_cpu_us")


def _growth(rows: int) -> Reading:
    return _per_second(f"growth rows_{rows}", "growth rows_10000")


def _floor(name: str, must: float | None, aim: float | None, reading: Reading, title: str) -> Target:
    return Target(name, title, reading, must, aim)


def _ceiling(name: str, must: float | None, aim: float | None, reading: Reading, title: str) -> Target:
    return Target(name, title, reading, must, aim, is_ceiling=True)


# A table reads as a table.
# fmt: off
TARGETS: Final = (
    _floor("ingest_vs_noop", 2.5, 3, _per_second("ingest service", "ingest noop"),
           "ingest ÷ Flask no-op under gthread"),
    _floor("ingest_vs_pika", 2, 3, _per_second("ingest service", "ingest flask_pika"),
           "ingest ÷ Flask + pika in the request, no confirms"),
    _floor("ingest_vs_go", None, 1, _per_second("ingest service", "ingest go_amqp091"),
           "ingest ÷ Go net/http + amqp091 in the request, no confirms"),
    _ceiling("edge_cpu_vs_noop", 0.16, 0.13, _edge_cpu("service", "noop"),
             "edge CPU per request ÷ Flask no-op's"),
    _ceiling("edge_cpu_vs_go", None, 1, _edge_cpu("service", "go_amqp091"),
             "edge CPU per request ÷ Go net/http + amqp091's"),
    _floor("confirms_ingest", None, None, _per_second("ingest with_confirms", "ingest service"),
           "ingest with publisher confirms ÷ without"),
    _ceiling("confirms_cpu", None, None, _edge_cpu("with_confirms", "service"),
             "edge CPU per request with publisher confirms ÷ without"),
    _floor("intake_vs_bare", 0.6, 0.65, _per_second("intake_postgresql service", "intake_postgresql bare"),
           "intake ÷ bare pika + insert per 100, body included, PostgreSQL"),
    _floor("intake_vs_single", 6, 8, _per_second("intake_postgresql service", "intake_postgresql single"),
           "intake ÷ the same effects, one event per transaction"),
    _floor("intake_vs_bare_sqlite", 0.4, 0.5, _per_second("intake_sqlite service", "intake_sqlite bare"),
           "intake ÷ bare pika + insert per 100, body included, SQLite"),
    _floor("end_to_end_vs_noop", 0.3, 0.4, _per_second("end_to_end service", "ingest noop"),
           "HTTP to committed effect ÷ Flask no-op"),
    _ceiling("p99_half_load_ms", 10, 5, _figure("half_load service p99_ms"),
             "p99 at half of its own capacity, open loop (ms)"),
    _ceiling("p99_frozen_ratio", 2, 1.2, _figure("broker_frozen service p99_ratio"),
             "p99 with the broker frozen ÷ with it there"),
    _ceiling("p99_away_ratio", 2, 1.2, _figure("broker_away service p99_ratio"),
             "p99 with the broker away ÷ with it there"),
    _ceiling("commit_p50_ms", 30, 15, _figure("commit_delay service p50_ms"),
             "first byte in to effect committed, 200/s: p50 (ms)"),
    _ceiling("commit_p99_ms", 100, 50, _figure("commit_delay service p99_ms"),
             "first byte in to effect committed, 200/s: p99 (ms)"),
    _floor("deliver_vs_bare", 0.5, None, _per_second("deliver service", "deliver bare"),
           "deliver ÷ bare requests.Session loop of the same concurrency"),
    _floor("deliver_beside_dead", 0.9, None, _per_second("deliver beside_a_dead_one", "deliver service"),
           "deliver beside a dead destination ÷ alone"),
    _ceiling("deliver_at_once_ms", 100, None, _figure("deliver_way at_once p50_ms"),
             "first byte in to the service behind, no window: p50 (ms)"),
    _ceiling("deliver_window_ms", 2_100, None, _figure("deliver_way window p50_ms"),
             "newest event of a window in to the service behind, window 2 s: p50 (ms)"),
    _floor("intake_beside", 0.5, None, _per_second("beside settle_and_deliver", "beside alone"),
           "intake with settle and deliver on the same cores ÷ alone"),
    _floor("intake_while_retaining", 0.9, None, _per_second("retain meanwhile", "retain alone"),
           "intake while old rows of 5 millions are deleted ÷ without"),
    _floor("growth_1m", 0.8, 0.9, _growth(1_000_000),
           "intake with 1 million rows ÷ with 10 thousand"),
    _floor("growth", 0.8, 0.9, _growth(5_000_000),
           "intake with 5 million rows ÷ with 10 thousand"),
    _floor("growth_20m", None, 0.8, _growth(20_000_000),
           "intake with 20 million rows ÷ with 10 thousand"),
    _floor("backlog_vs_publish", 0.5, None, _figure("backlog service republish_vs_ceiling"),
           "republishing a million entries ÷ pika publish ceiling"),
    _floor("backlog_ingest", 0.5, None, _figure("backlog service ingest_vs_normal"),
           "ingest meanwhile ÷ without a backlog"),
    _ceiling("edge_memory_mb", 90, None, _figure("memory edge_process largest_mb"),
             "largest edge process over a million events (MB)"),
    _ceiling("edge_memory_growth_mb", FLAT_MEGABYTES, None, _figure("memory edge_process growth_mb"),
             "its growth over the last three quarters (MB)"),
    _ceiling("worker_memory_mb", 150, None, _figure("memory worker_process largest_mb"),
             "worker process over a million events (MB)"),
    _ceiling("worker_memory_growth_mb", FLAT_MEGABYTES, None, _figure("memory worker_process growth_mb"),
             "its growth over the last three quarters (MB)"),
    _ceiling("bytes_per_event", None, None, _figure("intake_postgresql service bytes_per_event"),
             "bytes in SQL per event, indexes and body included"),
)
# fmt: on

LAST_LINE: Final = (
    "ingest_vs_noop",
    "ingest_vs_pika",
    "edge_cpu_vs_noop",
    "intake_vs_bare",
    "intake_vs_single",
    "end_to_end_vs_noop",
    "p99_half_load_ms",
)
