"""Define the values that a run must or should reach, and the figures that are compared with them."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tests.benchmarks.memory import FLAT_MEGABYTES
from tests.benchmarks.results import Figure, spread_of

if TYPE_CHECKING:
    from tests.benchmarks.results import Results

FLOOR, CEILING = "≥", "≤"


class Target(NamedTuple):
    """One row of the table of required values and aims.

    Args:
        name: The short name, for the last line and the JSON.
        bound: FLOOR if more is better, CEILING if less is better.
        must: The required value; the run fails if it is missed. None: the value is only reported.
        aim: The value that we aim at. None: there is no aim.
        read: A figure's scenario, subject and name; or two figures, whose ratio is used.
        title: The name that reports and pages show.
    """

    name: str
    bound: str
    must: float | None
    aim: float | None
    read: str
    title: str

    def rounds(self, results: Results) -> list[float]:
        """Return the target's value in each round."""
        figures = [Figure(*words.split()) for words in self.read.split(" / ")]
        return results.rounds(*figures) if len(figures) == 1 else results.ratios(*figures)

    def is_reached(self, value: float, mark: float | None) -> bool:
        """Return whether *value* is at least as good as *mark*, if there is one."""
        return mark is None or (value <= mark if self.bound == CEILING else value >= mark)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A target and its value in each round. `rounds` is empty if the target was not measured."""

    target: Target
    rounds: list[float]

    @property
    def value(self) -> float | None:
        """The median of all rounds, or None if the target was not measured."""
        return median(self.rounds) if self.rounds else None

    @property
    def is_missed(self) -> bool:
        """Whether the target was measured but its required value was missed."""
        return self.value is not None and not self.target.is_reached(self.value, self.target.must)

    @property
    def word(self) -> str:
        """How the value compares with its target, such as "missed" or "aim reached"."""
        if self.value is None:
            return "not measured"
        if self.is_missed:
            return "missed"
        if self.target.aim is None:
            return "reported" if self.target.must is None else "reached"
        if self.target.is_reached(self.value, self.target.aim):
            return "aim reached"
        return "short of the aim" if self.target.must is None else "reached"

    def as_json(self) -> dict[str, Any]:
        """Return the values that documentation pages quote, with the required value and the aim as text."""
        marks = {"must": self.target.must, "aim": self.target.aim}
        texts = {
            name: None if mark is None else f"{self.target.bound} {mark:g}" for name, mark in marks.items()
        }
        return {"title": self.target.title, **texts, "verdict": self.word, **spread_of(self.rounds)}


def judge(results: Results) -> list[Verdict]:
    """Compare the results with every target, and return a verdict on each."""
    return [Verdict(target, target.rounds(results)) for target in TARGETS]


# Each row of this table has two lines, which the formatter would split.
# fmt: off
TARGETS: Final = tuple(Target(*row) for row in (
    ("ingest_vs_noop", FLOOR, 2.5, 3, "ingest service per_second / ingest noop per_second",
     "ingest ÷ Flask no-op under gthread"),
    ("ingest_vs_pika", FLOOR, 2, 3, "ingest service per_second / ingest flask_pika per_second",
     "ingest ÷ Flask + pika in the request, no confirms"),
    ("ingest_vs_go", FLOOR, None, 1, "ingest service per_second / ingest go_amqp091 per_second",
     "ingest ÷ Go net/http + amqp091 in the request, no confirms"),
    ("edge_cpu_vs_noop", CEILING, 0.16, 0.13, "ingest service receiver_cpu_us / ingest noop receiver_cpu_us",
     "edge CPU per request ÷ Flask no-op's"),
    ("edge_cpu_vs_go", CEILING, None, 1, "ingest service receiver_cpu_us / ingest go_amqp091 receiver_cpu_us",
     "edge CPU per request ÷ Go net/http + amqp091's"),
    ("confirms_ingest", FLOOR, None, None, "ingest with_confirms per_second / ingest service per_second",
     "ingest with publisher confirms ÷ without"),
    ("confirms_cpu", CEILING, None, None,
     "ingest with_confirms receiver_cpu_us / ingest service receiver_cpu_us",
     "edge CPU per request with publisher confirms ÷ without"),
    ("intake_vs_bare", FLOOR, 0.6, 0.65,
     "intake_postgresql service per_second / intake_postgresql bare per_second",
     "intake ÷ bare pika + insert per 100, body included, PostgreSQL"),
    ("intake_vs_single", FLOOR, 6, 8,
     "intake_postgresql service per_second / intake_postgresql single per_second",
     "intake ÷ the same effects, one event per transaction"),
    ("intake_vs_bare_sqlite", FLOOR, 0.4, 0.5,
     "intake_sqlite service per_second / intake_sqlite bare per_second",
     "intake ÷ bare pika + insert per 100, body included, SQLite"),
    ("end_to_end_vs_noop", FLOOR, 0.3, 0.4, "end_to_end service per_second / ingest noop per_second",
     "HTTP to committed effect ÷ Flask no-op"),
    ("whole_way_vs_noop", FLOOR, 0.2, 0.3, "whole_way service per_second / whole_way noop per_second",
     "5,000 sessions, the whole way to a destination ÷ Flask no-op"),
    ("p99_half_load_ms", CEILING, 10, 5, "half_load service p99_ms",
     "p99 at half of its own capacity, open loop (ms)"),
    ("p99_frozen_ratio", CEILING, 2, 1.2, "broker_frozen service p99_ratio",
     "p99 with the broker frozen ÷ with it there"),
    ("p99_away_ratio", CEILING, 2, 1.2, "broker_away service p99_ratio",
     "p99 with the broker away ÷ with it there"),
    ("commit_p50_ms", CEILING, 8, 5, "commit_delay service p50_ms",
     "first byte in to effect committed, 200/s: p50 (ms)"),
    ("commit_vs_bare", CEILING, None, None, "commit_delay service p50_ms / commit_delay bare p50_ms",
     "that p50 ÷ the broker's and the database's own: published bare, inserted, committed"),
    ("commit_p99_ms", CEILING, 100, 50, "commit_delay service p99_ms",
     "first byte in to effect committed, 200/s: p99 (ms)"),
    ("deliver_vs_bare", FLOOR, 0.5, None, "deliver service per_second / deliver bare per_second",
     "deliver ÷ bare requests.Session loop of the same concurrency"),
    ("deliver_beside_dead", FLOOR, 0.9, None,
     "deliver beside_a_dead_one per_second / deliver service per_second",
     "deliver beside a dead destination ÷ alone"),
    ("deliver_one_conversation", FLOOR, 0.8, None,
     "deliver one_conversation per_second / deliver many_conversations per_second",
     "deliver 60,000 events of one conversation ÷ of 3,000"),
    ("deliver_beside_refusals_s", CEILING, 2, None, "refusals good longest_wait_s",
     "longest from outbox to 2xx while 900 of 1,000 events a second are refused (s)"),
    ("deliver_at_once_ms", CEILING, 100, None, "deliver_way at_once p50_ms",
     "first byte in to the service behind, no window: p50 (ms)"),
    ("deliver_window_ms", CEILING, 2_100, None, "deliver_way window p50_ms",
     "newest event of a window in to the service behind, window 2 s: p50 (ms)"),
    ("intake_beside", FLOOR, 0.5, None, "beside settle_and_deliver per_second / beside alone per_second",
     "intake while settle and deliver work on the same cores ÷ alone"),
    ("intake_while_retaining", FLOOR, 0.9, None, "retain meanwhile per_second / retain alone per_second",
     "intake while old rows of 5 millions are deleted ÷ without"),
    ("growth_1m", FLOOR, 0.8, 0.9, "growth rows_1000000 per_second / growth rows_10000 per_second",
     "intake with 1 million rows ÷ with 10 thousand"),
    ("growth", FLOOR, 0.8, 0.9, "growth rows_5000000 per_second / growth rows_10000 per_second",
     "intake with 5 million rows ÷ with 10 thousand"),
    ("growth_20m", FLOOR, None, 0.8, "growth rows_20000000 per_second / growth rows_10000 per_second",
     "intake with 20 million rows ÷ with 10 thousand"),
    ("backlog_vs_publish", FLOOR, 0.5, None, "backlog service republish_vs_ceiling",
     "republishing a million entries ÷ pika publish ceiling"),
    ("backlog_ingest", FLOOR, 0.5, None, "backlog service ingest_vs_normal",
     "ingest meanwhile ÷ without a backlog"),
    ("edge_memory_mb", CEILING, 90, None, "memory edge_process largest_mb",
     "largest edge process over a million events (MB)"),
    ("edge_memory_growth_mb", CEILING, FLAT_MEGABYTES, None, "memory edge_process growth_mb",
     "its growth over the last three quarters (MB)"),
    ("worker_memory_mb", CEILING, 150, None, "memory worker_process largest_mb",
     "worker process over a million events (MB)"),
    ("worker_memory_growth_mb", CEILING, FLAT_MEGABYTES, None, "memory worker_process growth_mb",
     "its growth over the last three quarters (MB)"),
    ("bytes_per_event", CEILING, None, None, "intake_postgresql service bytes_per_event",
     "bytes in SQL per event, indexes and body included"),
))
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
