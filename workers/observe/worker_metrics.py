"""Turn what the workers say of themselves into metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from prometheus_client import Metric

    from workers.db.stats import WorkerReport


@dataclass(frozen=True, slots=True)
class Count:
    """A metric out of the workers' reports.

    Args:
        name: The metric's; Prometheus adds _total to a counter's.
        help: What Prometheus shows beside it.
        role: Whose report has it.
        figure: Its name there.
        parts: The labels by which it is counted, in the order in which its keys name them.
        is_gauge: Whether it is a state, and not a count that only rises.
    """

    name: str
    help: str
    role: str
    figure: str
    parts: tuple[str, ...] = ()
    is_gauge: bool = False

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels' names."""
        return ("worker", *self.parts)


def _intake(figure: str, text: str, name: str | None = None) -> Count:
    return Count(f"om_intake_{name or figure}", text, "intake", figure)


COUNTS: Final = (
    _intake("batches", "Batches that an intake worker has committed."),
    _intake("batch_seconds", "Time that they took together."),
    _intake("deliveries", "Deliveries in them; divided by the batches: a batch's size."),
    _intake("processed", "Events that took effect."),
    _intake("skipped", "Events that were recorded without an effect."),
    _intake("unstored", "Events that were only counted: typing."),
    _intake("duplicates", "Copies of events that were known, and had no effect."),
    _intake("conflicts", "Bodies that came under the key of another.", "conflicting"),
    _intake("dead_lettered", "Events that can never be processed."),
    _intake("put_off", "Tries of a handler that failed, and were tried again later."),
    Count(
        "om_settle_undecided",
        "Routing updates that no answer of the platform's decided; they took no effect.",
        "settle",
        "undecided",
    ),
    Count(
        "om_settle_unverified",
        "Routing updates that were applied without an answer of the platform's.",
        "settle",
        "unverified",
    ),
    Count(
        "om_deliver_delivered",
        "Events that a destination took.",
        "deliver",
        "delivered",
        ("destination", "event_type"),
    ),
    Count(
        "om_deliver_refused",
        "Events that a destination refused for themselves; each is a dead letter.",
        "deliver",
        "refused",
        ("destination", "event_type"),
    ),
    Count("om_deliver_failed", "Attempts that failed.", "deliver", "failed", ("destination",)),
    Count(
        "om_destination_refusing",
        "1 if a destination has refused events for half a minute and taken none: they are held.",
        "deliver",
        "refusing",
        ("destination",),
        is_gauge=True,
    ),
    Count(
        "om_deliver_destinations_digest",
        "A digest of the destinations file that the worker runs with; all must be equal.",
        "deliver",
        "destinations_digest",
        is_gauge=True,
    ),
    Count(
        "om_destination_down",
        "1 where this worker's breaker is open: one event at a time is tried.",
        "deliver",
        "down",
        ("destination",),
        is_gauge=True,
    ),
)


def worker_metrics(reports: Sequence[WorkerReport], now: datetime) -> Iterator[Metric]:
    """Return whether each worker reports, and what those that do have counted."""
    alive = GaugeMetricFamily(
        "om_worker_up", "1 where a worker has reported within a minute.", labels=("role", "worker")
    )
    for report in reports:
        alive.add_metric((report.role, report.worker), float(not report.is_silent(now)))
    yield alive
    speaking = [report for report in reports if not report.is_silent(now)]
    for count in COUNTS:
        yield _counted(count, speaking)


def _counted(count: Count, reports: Iterable[WorkerReport]) -> Metric:
    family = GaugeMetricFamily if count.is_gauge else CounterMetricFamily
    metric = family(count.name, count.help, labels=count.labels)
    for report in reports:
        if report.role == count.role:
            figure = report.figures.get(count.figure, 0)
            of_each = figure.items() if isinstance(figure, Mapping) else [(None, figure)]
            for key, number in of_each:
                parts = () if key is None else tuple(key.split(" "))
                metric.add_metric((report.worker, *parts), float(number))
    return metric
