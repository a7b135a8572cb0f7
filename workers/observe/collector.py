"""Collect the service's metrics from the database and the broker; the edge serves its own metrics."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from messaging.errors import RetryLaterError
from messaging.log import logger
from workers.db.engine import DatabaseClock
from workers.db.stats import CLOCK_AHEAD, WorkerReport, read_worker_reports
from workers.observe.canary import STAGES, UNKNOWN_STAGE, find_stage
from workers.observe.metric_queries import METRIC_QUERIES, MetricQuery
from workers.observe.probe import Probe, Reading
from workers.parsing import moment_of

SCRAPE_SECONDS: Final = 8.0
"""How long a scrape waits for the database or the broker; Prometheus abandons a scrape after 10 s."""

WORKER_UP: Final = "om_worker_up"

_IS_READ_ONLY: Final = text(
    "SELECT pg_is_in_recovery() OR EXISTS (SELECT FROM pg_db_role_setting WHERE setrole = 0"
    " AND setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " AND 'default_transaction_read_only=on' = ANY (setconfig))"
)
"""Returns whether the workers' sessions are read-only; the observe role's own sessions always are."""


@dataclass(frozen=True, slots=True)
class WorkerFigure:
    """A metric from the workers' reports.

    Args:
        role: The role whose reports contain the figure; None if the reports of all roles contain it.
        parts: Names of the labels that divide the figure; each key of the figure contains their values.
        gauge: The metric's name if the figure is a state; None if it is a counter, named om_{role}_{figure}.
    """

    role: str | None
    figure: str
    help: str
    parts: tuple[str, ...] = ()
    gauge: str | None = None

    @property
    def name(self) -> str:
        """The metric's name; Prometheus adds _total to the name of a counter."""
        return self.gauge or f"om_{self.role}_{_RENAMED.get(self.figure, self.figure)}"

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the metric's labels."""
        return ("worker", *self.parts) if self.role else ("role", "worker")


_RENAMED: Final = {"conflicts": "conflicting"}

_BY_TYPE: Final = ("destination", "event_type")
_BY_DESTINATION: Final = ("destination",)

WORKER_FIGURES: Final = (
    WorkerFigure("intake", "batches", "Batches that an intake worker has committed."),
    WorkerFigure("intake", "batch_seconds", "Total duration of committed batches, in seconds."),
    WorkerFigure("intake", "deliveries", "Messages in committed batches."),
    WorkerFigure("intake", "processed", "Events that took effect."),
    WorkerFigure("intake", "skipped", "Events that were recorded without an effect."),
    WorkerFigure("intake", "unstored", "Typing indicators, which were counted but not stored."),
    WorkerFigure("intake", "duplicates", "Copies of known events, which have no effect."),
    WorkerFigure("intake", "conflicts", "Events with the key of another event and different content."),
    WorkerFigure("intake", "dead_lettered", "Events that became dead letters."),
    WorkerFigure("intake", "put_off", "Attempts of a handler that failed and were retried later."),
    WorkerFigure("settle", "undecided", "Routing updates that were not verified in time and had no effect."),
    WorkerFigure("settle", "unverified", "Routing updates that were applied without the platform's answer."),
    WorkerFigure("deliver", "delivered", "Events that a destination accepted.", _BY_TYPE),
    WorkerFigure("deliver", "refused", "Events that a destination refused; each is a dead letter.", _BY_TYPE),
    WorkerFigure("deliver", "failed", "Failed attempts to deliver an event.", _BY_DESTINATION),
    WorkerFigure(
        "deliver",
        "refusing",
        "1 if a destination has refused every event for half a minute, so its events are held.",
        _BY_DESTINATION,
        gauge="om_destination_refusing",
    ),
    WorkerFigure(
        "deliver",
        "destinations_digest",
        "Digest of the worker's destinations file; it must be equal on all workers.",
        gauge="om_deliver_destinations_digest",
    ),
    WorkerFigure(
        "deliver",
        "down",
        "1 while this worker's circuit breaker is open: it tries one event at a time.",
        _BY_DESTINATION,
        gauge="om_destination_down",
    ),
    WorkerFigure(
        None,
        CLOCK_AHEAD,
        "Seconds by which the clock of a worker's host is ahead of the database's.",
        gauge="om_clock_ahead_seconds",
    ),
)


def read_metrics(engine: Engine, clock: DatabaseClock) -> list[Metric]:
    """Read each metric in its own transaction; a metric whose query fails is left out.

    Raises DBAPIError if the database cannot be reached or every query failed, and RetryLaterError if workers
    can only read the database.
    """
    metrics: list[Metric] = []
    failure: DBAPIError | None = None
    with engine.connect() as connection:
        with connection.begin():
            if engine.dialect.name == "postgresql" and connection.scalar(_IS_READ_ONLY):
                raise RetryLaterError("it is read-only: OM_DATABASE_URL must name the primary server")
        now = moment_of(clock.now_us())
        queries: dict[str, Callable[[], Iterable[Metric]]] = {
            query.name: partial(_read, query, connection, now) for query in METRIC_QUERIES
        }
        queries[WORKER_UP] = lambda: build_worker_metrics(read_worker_reports(connection), now)
        for name, read in queries.items():
            try:
                with connection.begin():
                    metrics += read()
            except DBAPIError as error:
                if error.connection_invalidated:
                    raise
                logger().warning("metric_missing", metric=name, reason=type(error.orig).__name__)
                failure = error
    if failure is not None and not metrics:
        raise failure
    return metrics


def find_missing(metrics: Iterable[Metric]) -> frozenset[str]:
    """Return the metrics whose query failed; WORKER_UP stands for all metrics from workers' reports."""
    expected = {WORKER_UP, *(query.name for query in METRIC_QUERIES)}
    return frozenset(expected - {metric.name for metric in metrics})


def _read(query: MetricQuery, connection: Connection, now: datetime) -> list[Metric]:
    metric = GaugeMetricFamily(query.name, query.help, labels=query.labels)
    is_age = query.name.endswith("_age_seconds")
    for *labels, value in connection.execute(query.statement):
        if value is not None:
            # If the time is in the future, the age is 0.
            number = max(0.0, (now - value).total_seconds()) if is_age else float(value)
            metric.add_metric(labels, number)
    return [metric]


def build_worker_metrics(reports: Sequence[WorkerReport], now: datetime) -> Iterator[Metric]:
    """Yield a metric that shows which workers report, and the figures of these workers."""
    alive = GaugeMetricFamily(
        WORKER_UP, "1 if the worker has reported within the last minute.", labels=("role", "worker")
    )
    for report in reports:
        alive.add_metric((report.role, report.worker), float(not report.is_silent(now)))
    yield alive
    current = [report for report in reports if not report.is_silent(now)]
    for figure in WORKER_FIGURES:
        yield _build(figure, current)


def _build(figure: WorkerFigure, reports: Iterable[WorkerReport]) -> Metric:
    family = GaugeMetricFamily if figure.gauge else CounterMetricFamily
    metric = family(figure.name, figure.help, labels=figure.labels)
    for report in reports:
        own = (report.role, report.worker) if figure.role is None else (report.worker,)
        value = report.figures.get(figure.figure, None if figure.role is None else 0)
        if value is not None and figure.role in {None, report.role}:
            for key, number in value.items() if isinstance(value, Mapping) else [("", value)]:
                metric.add_metric((*own, *key.split()), float(number))
    return metric


@dataclass(frozen=True)
class ServiceCollector(Collector):
    """Collects the metrics of the database and, if they are configured, of the queues and the canary."""

    metrics: Probe[list[Metric]]
    depths: Probe[dict[str, int]] | None
    canary: Probe[float] | None = None

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics. Those that cannot be read are left out instead of being reported as 0."""
        reading = self.metrics.read(SCRAPE_SECONDS)
        is_up = float(reading.problem is None)
        yield GaugeMetricFamily("om_database_up", "1 if the database answers and is writable.", value=is_up)
        yield from reading.current or ()
        if self.depths is not None:
            metric = GaugeMetricFamily(
                "om_queue_messages", "Messages in a queue, including unacknowledged ones.", labels=("queue",)
            )
            for queue, depth in (self.depths.read(SCRAPE_SECONDS).current or {}).items():
                metric.add_metric((queue,), depth)
            yield metric
        if self.canary is not None:
            yield from _build_canary_metrics(self.canary.read(0.0))


def _build_canary_metrics(reading: Reading[float]) -> Iterator[Metric]:
    stopped_at = find_stage(reading)
    if reading.problem is not None and stopped_at is None:
        stopped_at = UNKNOWN_STAGE
    stopped = GaugeMetricFamily(
        "om_canary_stopped", "1 for the stage that stopped the last canary.", labels=("stage",)
    )
    for stage in (*STAGES, UNKNOWN_STAGE):
        stopped.add_metric((stage,), float(stage == stopped_at))
    yield stopped
    if reading.value is not None:
        text = "Seconds from the request of the last canary that arrived to its row in the database."
        yield GaugeMetricFamily("om_canary_seconds", text, value=reading.value)
