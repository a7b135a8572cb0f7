"""No metric query reads a whole table, and if a query fails, only its own metric is left out."""

import json

import pytest
from sqlalchemy import literal, select, text

from tests.integration.workers.conftest import ON_POSTGRESQL
from tests.rows import make_row
from workers.db.engine import DatabaseClock, make_engine
from workers.db.models import (
    conversations,
    dead_letters,
    deliveries,
    drift,
    event_conflicts,
    processed_events,
    reconciliations,
    routing_updates,
)
from workers.observe import OBSERVER_SESSION, Probe, ServiceCollector, read_metrics
from workers.observe.metric_queries import MAX_COUNTED, METRIC_QUERIES

ROWS = MAX_COUNTED * 3
FILLED = {
    dead_letters: {"message_id": "'m-' || n", "code": "'code-' || n % 2", "recorded_at": "now()"},
    event_conflicts: {"event_id": "n"},
    conversations: {"conversation_id": "'c-' || n", "status": "'implied'", "window_opened_at": "now()"},
    routing_updates: {"event_id": "n"},
    deliveries: {"outbox_id": "n", "destination": "'destination-' || n % 2"},
    reconciliations: {"started_by": "'timer'", "finished_at": "now()"},
    drift: {"name": "'n-' || n"},
    processed_events: {"idempotency_key": "'k-' || n", "outcome": "'processed'"},
}
"""The tables to fill, with SQL expressions for the columns whose values the test chooses."""


@pytest.fixture
def observer(migrated_url):
    engine = make_engine(migrated_url, OBSERVER_SESSION)
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def full(postgresql, migrated_postgresql):
    """An engine of the observe role for a database with many rows in every table that the role counts."""
    with postgresql.make_database(like=migrated_postgresql) as url:
        fill(url)
        observer = make_engine(url, OBSERVER_SESSION)
        yield observer
        observer.dispose()


def fill(url):
    engine = make_engine(url)
    with engine.begin() as connection:
        for table, expressions in FILLED.items():
            values = make_row(table, **{name: text(sql) for name, sql in expressions.items()})
            typed = [
                value if name in expressions else literal(value, table.c[name].type)
                for name, value in values.items()
            ]
            rows = select(*typed).select_from(text(f"generate_series(1, {ROWS}) AS n"))
            connection.execute(table.insert().from_select(list(values), rows))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))
    engine.dispose()


@pytest.mark.parametrize("metric", METRIC_QUERIES, ids=lambda metric: metric.name)
def test_the_number_of_rows_that_a_metric_query_reads_is_limited(full, metric):
    query = metric.statement.compile(full, compile_kwargs={"literal_binds": True})
    with full.connect() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {query}").scalar_one()
    # Two codes and two destinations are counted separately.
    assert rows_read(plan[0]["Plan"]) <= 2 * MAX_COUNTED + 100, json.dumps(plan, indent=1)
    # Compiling a query takes a tenth of a second, and, on a busy machine, longer than a scrape may take.
    assert "JIT" not in plan[0]


def rows_read(node):
    below = node.get("Plans", [])
    if below:
        return max(map(rows_read, below))
    seen = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
    return seen * node["Actual Loops"]


def test_a_metric_stops_counting_at_its_limit(full):
    metrics = read(full)
    assert metrics["om_dead_letters"] == [MAX_COUNTED, MAX_COUNTED]
    assert metrics["om_deliveries_waiting"] == [MAX_COUNTED, MAX_COUNTED]
    assert metrics["om_conflicts"] == [MAX_COUNTED]


@ON_POSTGRESQL
def test_only_the_metric_of_a_slow_query_is_left_out(engine, observer):
    """Guarantee 7.17."""
    with engine.begin() as connection:
        connection.execute(text("LOCK TABLE drift IN ACCESS EXCLUSIVE MODE"))
        metrics = read(observer)
    assert {query.name for query in METRIC_QUERIES} - set(metrics) == {"om_drift_names"}


@ON_POSTGRESQL
def test_a_database_that_the_workers_cannot_write_to_is_reported_down(engine, observer):
    probe = Probe("metrics", lambda: read_metrics(observer, DatabaseClock(observer)), 0.0)
    assert probe.read(10.0).problem is None
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        name = connection.scalar(text("SELECT current_database()"))
        connection.execute(text(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'))
    assert probe.read(10.0).problem == "it is read-only: OM_DATABASE_URL must name the primary server"


def test_a_database_that_is_away_is_reported_down():
    engine = make_engine("postgresql+psycopg://absent@127.0.0.1:1/none", OBSERVER_SESSION)
    probe = Probe("metrics", lambda: read_metrics(engine, DatabaseClock(engine)))
    [metric] = ServiceCollector(probe, None).collect()
    assert (metric.name, metric.samples[0].value) == ("om_database_up", 0)


def read(engine):
    return {
        metric.name: [sample.value for sample in metric.samples]
        for metric in read_metrics(engine, DatabaseClock(engine))
    }
