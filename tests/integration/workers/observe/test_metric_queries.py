"""No metric's query reads a whole table, and one that fails leaves out no other metric."""

import json

import pytest
from sqlalchemy import text

from workers.db.engine import DatabaseClock, make_engine
from workers.observe import OBSERVER_SESSION, Probe, ServiceCollector, read_metrics
from workers.observe.collector import find_missing
from workers.observe.metric_queries import MAX_COUNTED, MAX_GAPS, METRIC_QUERIES

ROWS = MAX_COUNTED * 3
FILLED = {
    "dead_letters": (
        "message_id, code, reason, body_sha256, source, received_at, recorded_at, attempts",
        "'m-' || n, 'code-' || n % 2, 'r', sha256('x'), 'webhook', now(), now(), 1",
    ),
    "duplicate_events": (
        """event_id, body_sha256, idempotency_key, body, message_id, source, deliveries, first_seen_at,
        last_seen_at""",
        "n, sha256('x'), 'k', 'b', 'm', 'webhook', 1, now(), now()",
    ),
    "conversations": (
        """conversation_id, status, routing_sequence, event_count, message_count, first_event_at,
        last_event_at, updated_at, window_opened_at""",
        "'c-' || n, 'implied', 0, 1, 1, now(), now(), now(), now()",
    ),
    "routing_updates": (
        "event_id, conversation_id, occurred_at, sequence, received_at, waits_since, routing_status",
        "n, 'c-' || n, now(), 0, now(), now(), 'CONTACT-QUEUED'",
    ),
    "deliveries": (
        "outbox_id, destination, conversation_id, due_at, attempts",
        "n, 'destination-' || n % 2, 'c', now(), 0",
    ),
    "reconciliations": (
        "started_by, compared_from, compared_to, started_at, finished_at, held_by, held_until",
        "'timer', now(), now(), now(), now(), 'h', now()",
    ),
    "drift": ("kind, name, event_type, first_seen_at", "'unknown_field', 'n-' || n, 't', now()"),
    "processed_events": (
        """idempotency_key, conversation_id, event_type, outcome, occurred_at, received_at, processed_at,
        message_id, source, dialect, body_sha256""",
        "'k-' || n, 'c', 't', 'processed', now(), now(), now(), 'm', 'webhook', 'guide', sha256('x')",
    ),
}


@pytest.fixture
def observer(migrated_postgres_url):
    engine = make_engine(migrated_postgres_url, OBSERVER_SESSION)
    yield engine
    engine.dispose()


@pytest.fixture
def full(migrated_postgres_url, observer):
    """The observer's engine, for a database with many rows of everything that is counted."""
    engine = make_engine(migrated_postgres_url)
    with engine.begin() as connection:
        for table, (columns, values) in FILLED.items():
            rows = f"SELECT {values} FROM generate_series(1, {ROWS}) AS n"  # noqa: S608  # names of ours
            connection.execute(text(f"INSERT INTO {table} ({columns}) {rows}"))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))
    engine.dispose()
    return observer


@pytest.mark.parametrize("metric", METRIC_QUERIES, ids=lambda metric: metric.name)
def test_no_query_reads_more_than_it_counts(full, metric):
    query = metric.statement.compile(full, compile_kwargs={"literal_binds": True})
    with full.connect() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {query}").scalar_one()

    # Two codes and two destinations, counted each by itself.
    assert rows_read(plan[0]["Plan"]) <= 2 * MAX_COUNTED + 100, json.dumps(plan, indent=1)


def rows_read(node):
    below = node.get("Plans", [])
    if below:
        return max(map(rows_read, below))
    seen = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
    return seen * node["Actual Loops"]


def test_a_count_stops_at_its_limit(full):
    metrics = read(full)
    assert metrics["om_dead_letters"] == [MAX_COUNTED, MAX_COUNTED]
    assert metrics["om_deliveries_waiting"] == [MAX_COUNTED, MAX_COUNTED]
    assert metrics["om_conflicts"] == [MAX_COUNTED]
    assert MAX_GAPS > MAX_COUNTED


def test_a_query_that_fails_leaves_out_only_its_own_metric(migrated_postgres_url, observer):
    engine = make_engine(migrated_postgres_url)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE drift CASCADE"))
    engine.dispose()

    metrics = read_metrics(observer, DatabaseClock(observer))
    assert find_missing(metrics) == {"om_drift_names"}


def test_a_query_that_is_slow_leaves_out_only_its_own_metric(migrated_postgres_url, observer):
    engine = make_engine(migrated_postgres_url)
    with engine.begin() as connection:
        connection.execute(text("LOCK TABLE drift IN ACCESS EXCLUSIVE MODE"))
        metrics = read(observer)
    engine.dispose()

    assert {query.name for query in METRIC_QUERIES} - set(metrics) == {"om_drift_names"}


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
