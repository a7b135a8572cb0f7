"""Answer a scrape: ask the database and the broker, now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from messaging.log import logger
from workers.observe.questions import QUESTIONS
from workers.observe.worker_metrics import worker_metrics
from workers.parsing import moment_of
from workers.tables import DatabaseClock, worker_reports_now

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from prometheus_client import Metric
    from sqlalchemy import Connection, Engine

    from workers.observe.questions import Question
    from workers.queue_depths import QueueDepths


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
        """Ask everything once; what cannot be asked is left out, and said to be away."""
        is_up = GaugeMetricFamily("om_database_up", "1 where the database answers.")
        try:
            with self._engine.connect() as connection:
                now = moment_of(self._clock.now_us())
                yield from [_answered(question, connection, now) for question in QUESTIONS]
                yield from worker_metrics(worker_reports_now(connection), now)
        except SQLAlchemyError as error:
            logger().warning("metrics_incomplete", reason=type(error).__name__)
            is_up.add_metric((), 0)
        else:
            is_up.add_metric((), 1)
        yield is_up
        if self._depths is not None:
            yield self._queues(self._depths)

    def _queues(self, depths: QueueDepths) -> Metric:
        """Return the depth of each queue that the broker tells; unknown is left out, never 0."""
        metric = GaugeMetricFamily(
            "om_queue_messages", "Messages in a queue, those in a worker's hand included.", labels=("queue",)
        )
        for queue, depth in depths.read().items():
            metric.add_metric((queue,), depth)
        return metric


def _answered(question: Question, connection: Connection, now: datetime) -> Metric:
    metric = GaugeMetricFamily(question.name, question.help, labels=question.labels)
    for *labels, value in connection.execute(question.statement):
        if value is not None:
            metric.add_metric(labels, _age_of(value, now) if question.is_age else float(value))
    return metric


def _age_of(moment: datetime, now: datetime) -> float:
    """Return the seconds since *moment*; what is still to come has no age yet."""
    return max(0.0, (now - moment).total_seconds())
