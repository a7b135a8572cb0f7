"""Answer a scrape: ask the database and the broker, now."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from messaging.log import logger
from workers.db.engine import DatabaseClock
from workers.db.stats import worker_reports_now
from workers.observe.questions import QUESTIONS
from workers.observe.worker_metrics import worker_metrics
from workers.parsing import moment_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    from prometheus_client import Metric
    from sqlalchemy import Connection, Engine

    from messaging.management import QueueDepths
    from workers.observe.questions import Question


class ServiceCollector(Collector):
    """What Prometheus is told of the whole service; the edge tells of itself at a /metrics of its own.

    Args:
        engine: The database.
        depths: The broker; None where no management address is configured.
    """

    def __init__(self, engine: Engine, depths: QueueDepths | None) -> None:
        self._engine = engine
        self._clock = DatabaseClock(engine)
        self._depths = depths

    def describe(self) -> Iterable[Metric]:
        """Name nothing ahead of the first scrape: the database may be away."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Query each metric by itself; one that fails is left out, and the others are not.

        Only a database without a connection is reported as down.
        """
        is_up = GaugeMetricFamily("om_database_up", "1 where the database answers.")
        try:
            with self._engine.connect() as connection:
                yield from self._answers(connection)
        except DBAPIError as error:
            logger().warning("database_unreachable", reason=type(error).__name__)
            is_up.add_metric((), 0)
        except PoolTimeoutError:
            logger().warning("metrics_missing", reason="other scrapes still wait for the database")
        else:
            is_up.add_metric((), 1)
        yield is_up
        if self._depths is not None:
            yield self._queues(self._depths)

    def _answers(self, connection: Connection) -> Iterator[Metric]:
        now = moment_of(self._clock.now_us())
        for question in QUESTIONS:
            yield from _tried(question.name, connection, partial(_answered, question, connection, now))
        yield from _tried(
            "om_worker_up", connection, lambda: list(worker_metrics(worker_reports_now(connection), now))
        )

    def _queues(self, depths: QueueDepths) -> Metric:
        """Return the depth of each queue that the broker tells; unknown is left out, never 0."""
        metric = GaugeMetricFamily(
            "om_queue_messages", "Messages in a queue, those in a worker's hand included.", labels=("queue",)
        )
        for queue, depth in depths.read().items():
            metric.add_metric((queue,), depth)
        return metric


def _tried(name: str, connection: Connection, query: Callable[[], list[Metric]]) -> list[Metric]:
    """Query in a transaction of its own; return nothing if the database refuses it or takes too long."""
    try:
        with connection.begin():
            return query()
    except DBAPIError as error:
        if error.connection_invalidated:
            raise
        logger().warning("metric_missing", metric=name, reason=type(error.orig).__name__)
        return []


def _answered(question: Question, connection: Connection, now: datetime) -> list[Metric]:
    metric = GaugeMetricFamily(question.name, question.help, labels=question.labels)
    for *labels, value in connection.execute(question.statement):
        if value is not None:
            metric.add_metric(labels, _age_of(value, now) if question.is_age else float(value))
    return [metric]


def _age_of(moment: datetime, now: datetime) -> float:
    """Return the seconds since *moment*; what is still to come has no age yet."""
    return max(0.0, (now - moment).total_seconds())
