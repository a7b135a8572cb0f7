"""On both databases, workers report that they are running; the observe role serves the reports as metrics."""

import socket
from datetime import UTC, datetime, timedelta

import pytest

from messaging.clock import SystemClock
from tests.integration.workers.events import deliver, said
from tests.waiting import wait_until
from workers.db.engine import DatabaseClock, make_engine, transact
from workers.db.stats import read_worker_reports, record_worker_report
from workers.intake import Intake
from workers.observe import build_worker_metrics
from workers.role import report_presence

GONE = "postgresql+psycopg://absent@127.0.0.1:9/none"
HOST_1 = f"{socket.gethostname()} 1"


@pytest.fixture
def reports(engine):
    return lambda: transact(engine, read_worker_reports)


def told(reports, now):
    return {
        (sample.name, *sample.labels.values()): sample.value
        for metric in build_worker_metrics(reports, now)
        for sample in metric.samples
    }


def test_a_running_worker_has_a_report_with_its_counts_until_it_stops(
    migrated_url, reports, engine, handlers
):
    intake = Intake(engine, handlers, SystemClock())
    copies = [deliver(said("Hello")), deliver(said("Hello"))]
    intake.process([*copies, deliver(b"no JSON")])

    with report_presence(migrated_url, DatabaseClock(engine), "intake", "1", intake.figures):
        wait_until(reports, 30, "the worker reports that it is running")
        samples = told(reports(), datetime.now(UTC))

    assert samples["om_worker_up", "intake", HOST_1] == 1
    assert samples["om_intake_batches_total", HOST_1] == 1
    assert samples["om_intake_deliveries_total", HOST_1] == 3
    assert samples["om_intake_processed_total", HOST_1] == 1
    assert samples["om_intake_duplicates_total", HOST_1] == 1
    assert samples["om_intake_dead_lettered_total", HOST_1] == 1
    assert reports() == []


def test_a_worker_without_a_recent_report_is_reported_down_and_later_left_out(engine, reports):
    clock = SystemClock()

    def note(worker, *, seconds_ago, **figures):
        now_us = clock.now_us() - seconds_ago * 1_000_000
        transact(
            engine,
            lambda connection: record_worker_report(
                connection, "deliver", worker, started_us=now_us, now_us=now_us, figures=figures
            ),
        )

    note("long dead", seconds_ago=4000)
    note("dead", seconds_ago=90, down={"crm": 1})
    note("alive", seconds_ago=0, down={"crm": 1, "routing": 0})
    samples = told(reports(), datetime.now(UTC))

    assert samples["om_worker_up", "deliver", "dead"] == 0
    assert samples["om_destination_down", "alive", "crm"] == 1
    assert samples["om_destination_down", "alive", "routing"] == 0
    assert ("om_destination_down", "dead", "crm") not in samples
    assert ("om_worker_up", "deliver", "long dead") not in samples


def test_an_unreachable_database_delays_neither_the_work_nor_the_end_of_a_role():
    began = datetime.now(UTC)
    with report_presence(GONE, DatabaseClock(make_engine(GONE)), "settle", "1", dict):
        pass
    assert datetime.now(UTC) - began < timedelta(seconds=10)
