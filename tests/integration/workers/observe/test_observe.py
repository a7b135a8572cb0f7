"""The observe role beside a real broker and database."""

import sys
import time
from datetime import UTC, datetime

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from tests.rows import THEN, make_row
from tests.servers import LOOPBACK, ServerProcess, free_port
from tests.services import Service, declare_topology, running
from workers.db.engine import DatabaseClock, make_engine
from workers.db.models import dead_letters, reconciliations
from workers.db.reconcile import TIMER
from workers.observe import OBSERVER_SESSION, read_metrics
from workers.observe.probe import FRESH_SECONDS

PASSED_OVER = "om_reconciliation_passed_over"


@pytest.fixture
def observer(vhost, rabbitmq, migrated_url, tmp_path):
    """The role's process and a function that scrapes it."""
    declare_topology(vhost.amqp_url)
    bind = f"{LOOPBACK}:{free_port()}"
    settings = {"OM_DATABASE_URL": migrated_url, "OM_METRICS_BIND": bind}
    service = Service(tmp_path, vhost.amqp_url, rabbitmq.management_url, settings)
    process = ServerProcess("observe", tmp_path / "observe.log")
    with running(process):
        command = [sys.executable, "-m", "workers", "observe"]
        process.launch(command, environment=service.environment(), directory=tmp_path)
        process.wait_until(lambda: "metrics_served" in (tmp_path / "observe.log").read_text(), timeout=30.0)

        def scrape():
            text = requests.get(f"http://{bind}/metrics", timeout=10).text
            return {
                (sample.name, *sample.labels.values()): sample.value
                for family in text_string_to_metric_families(text)
                for sample in family.samples
            }

        scrape.url = f"http://{bind}"
        yield scrape


def test_waiting_dead_letters_appear_with_their_age(observer, engine):
    before = observer()
    assert before["om_database_up",] == 1
    assert before["om_queue_messages", "open-messaging.events"] == 0
    assert ("om_dead_letters", "not_json") not in before

    with engine.begin() as connection:
        connection.execute(dead_letters.insert(), make_row(dead_letters, message_id="m-1", code="not_json"))

    # An answer is reused for some seconds.
    time.sleep(FRESH_SECONDS + 0.1)
    state = requests.get(f"{observer.url}/ops/state", timeout=10).json()
    assert state["metrics"]["dead_letter_codes"][0]["code"] == "not_json"
    assert [row["id"] for row in state["activity"]["dead_letters"]] == ["m-1"]
    after = observer()
    assert after["om_dead_letters", "not_json"] == 1
    assert after["om_dead_letter_oldest_age_seconds", "not_json"] > 1_000_000


def test_metrics_are_read_while_another_process_writes_to_sqlite(migrated_sqlite_url):
    writer = make_engine(migrated_sqlite_url)
    reader = make_engine(migrated_sqlite_url, OBSERVER_SESSION)
    with writer.begin(), reader.begin() as connection:
        # A second writer would be refused after SQLITE_BUSY_SECONDS.
        assert connection.exec_driver_sql("SELECT count(*) FROM processed_events").scalar_one() == 0
    writer.dispose()
    reader.dispose()


def test_only_finished_comparisons_of_the_worker_are_measured(engine):
    assert told(engine, PASSED_OVER) == []
    compare(engine, passed_over=7)
    compare(engine, started_by="operator@host", passed_over=0, finished_at=datetime.now(UTC))
    # Under way: it has not come to any yet.
    compare(engine, finished_at=None, passed_over=0)
    assert told(engine, PASSED_OVER) == [7]
    [age] = told(engine, "om_reconciliation_age_seconds")
    assert age > 1_000_000


def told(engine, name):
    [metric] = [each for each in read_metrics(engine, DatabaseClock(engine)) if each.name == name]
    return [sample.value for sample in metric.samples]


def compare(engine, **changes):
    row = make_row(reconciliations, **{"started_by": TIMER, "finished_at": THEN} | changes)
    with engine.begin() as connection:
        connection.execute(reconciliations.insert(), row)
