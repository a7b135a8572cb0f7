"""The observe role runs with a real broker and database."""

import socket
import sys
import time
from datetime import UTC, datetime
from functools import partial

import pytest
import requests
from flask import Flask, request
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import select

from messaging.clock import SystemClock
from messaging.errors import RetryLaterError
from simulator.serving import serve_app
from tests.rows import THEN, make_row
from tests.servers import LOOPBACK, ServerProcess, free_port
from tests.services import Service, declare_topology, running
from workers.db.canary import Canary, decode_canary, read_newest_canary, record_canaries
from workers.db.engine import DatabaseClock, make_engine, transact
from workers.db.models import dead_letters, edge_statistics, reconciliations
from workers.db.reconcile import TIMER
from workers.observe import OBSERVER_SESSION, CanarySettings, Probe, canary, edge_answers, read_metrics
from workers.observe.canary import CanaryStoppedError
from workers.observe.edge_answers import EdgeAnswersRecorder
from workers.observe.probe import FRESH_SECONDS

PASSED_OVER = "om_reconciliation_passed_over"
AGE = "om_reconciliation_age_seconds"


@pytest.fixture
def observer(vhost, rabbitmq, migrated_url, tmp_path):
    """Run the role's process, and yield a function that scrapes it."""
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

    # om-observe reuses an answer for FRESH_SECONDS.
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
        # A second writer would get an error after SQLITE_BUSY_SECONDS.
        assert connection.exec_driver_sql("SELECT count(*) FROM processed_events").scalar_one() == 0
    writer.dispose()
    reader.dispose()


def test_the_metrics_are_from_the_last_finished_comparison_of_the_reconcile_worker(engine):
    assert told(engine, PASSED_OVER) == []
    compare(engine, passed_over=7)
    compare(engine, started_by="operator@host", passed_over=0, finished_at=datetime.now(UTC))
    # An unfinished comparison does not count, because it has not passed over any conversation yet.
    compare(engine, finished_at=None, passed_over=0)
    assert told(engine, PASSED_OVER) == [7]
    [age] = told(engine, AGE)
    assert age > 1_000_000


def test_the_age_is_measured_from_the_first_comparison_if_none_was_finished(engine):
    assert told(engine, AGE) == []
    compare(engine, started_at=THEN, finished_at=None)
    [age] = told(engine, AGE)
    assert age > 1_000_000


def test_the_number_of_gaps_has_no_limit_that_would_hide_new_gaps(engine):
    assert told(engine, "om_reconciliation_gaps") == [0]
    compare(engine, published=5_000_000)
    compare(engine, started_by="operator@host", published=7)
    assert told(engine, "om_reconciliation_gaps") == [5_000_007]


def test_a_canary_that_is_lost_after_the_clock_was_set_back_has_not_arrived(engine, monkeypatch):
    monkeypatch.setattr(canary, "ARRIVAL_SECONDS", 1.0)
    now_us, sender = SystemClock().now_us(), socket.gethostname()
    record = partial(transact, engine, record_canaries, now_us=now_us)
    record(arrived=[Canary(sender, now_us + 3_600_000_000)])
    broker = Probe("broker", lambda: None)
    newest = Probe("canaries", partial(transact, engine, read_newest_canary, sender), 0.0)
    edge, is_lost = Flask(__name__), [True, False]

    @edge.post("/")
    def take():
        if not is_lost.pop(0):
            record(arrived=[decode_canary(request.get_data())])
        return ""

    with serve_app(edge) as url:
        settings = CanarySettings(url, None, {})
        with pytest.raises(CanaryStoppedError, match=r"^intake: "):
            canary.send(settings, broker, newest)
        assert canary.send(settings, broker, newest) < canary.ARRIVAL_SECONDS


def test_all_answers_are_recorded_if_the_databases_answer_to_a_commit_is_lost_before_an_outage(
    engine, monkeypatch
):
    edge, counts, faults = Flask(__name__), [5, 8, 9, 12], ["lost", "away", None, None]

    @edge.get("/metrics")
    def show():
        return (
            "# TYPE om_edge_answer_seconds histogram\n"
            f'om_edge_answer_seconds_bucket{{pid="1",le="+Inf"}} {counts.pop(0)}\n'
        )

    def commit(*arguments):
        if faults[0] != "away":
            transact(*arguments)
        if faults.pop(0):
            raise RetryLaterError("the answer was lost", delay=1.0)

    monkeypatch.setattr(edge_answers, "transact", commit)
    with serve_app(edge) as url:
        recorder = EdgeAnswersRecorder(engine, SystemClock(), "om-1", url.removeprefix("http://"))
        recorder.record()
        for _ in range(2):
            with pytest.raises(RetryLaterError):
                recorder.record()
        recorder.record()
    query = select(edge_statistics.c.answered).order_by(edge_statistics.c.began_at)
    with engine.connect() as connection:
        assert connection.scalars(query).all() == [3, 1, 3]


def told(engine, name):
    [metric] = [each for each in read_metrics(engine, DatabaseClock(engine)) if each.name == name]
    return [sample.value for sample in metric.samples]


def compare(engine, **changes):
    row = make_row(reconciliations, **{"started_by": TIMER, "finished_at": THEN} | changes)
    with engine.begin() as connection:
        connection.execute(reconciliations.insert(), row)
