"""The deliver process is stopped, or is killed between receiving an answer and recording it."""

import os
import signal

import pytest

from simulator.platform import Fault
from tests.integration.workers.conftest import ON_POSTGRESQL
from tests.integration.workers.events import deliver, event
from tests.services import GONE, Service, Worker, running

pytestmark = ON_POSTGRESQL


class DeliverWorker(Worker):
    role = "deliver"
    started = "role_started"


@pytest.fixture
def destination_names():
    return ("crm",)


@pytest.fixture
def make_worker(destinations_file, migrated_url, tmp_path):
    service = Service(tmp_path, GONE, settings={"OM_DESTINATIONS": destinations_file})
    return lambda name: DeliverWorker(service, migrated_url, name)


def is_delivered(query):
    return query("SELECT outcome FROM deliveries") == [("delivered",)]


def test_a_process_killed_before_it_records_an_answer_repeats_the_event_under_the_same_id(
    make_worker, inbox, intake, query
):
    worker = make_worker("1")
    inbox.fault_for = lambda _told: os.kill(worker.pid, signal.SIGKILL) if len(inbox.requested) == 1 else None
    with running(worker):
        worker.start()
        worker.wait_until(lambda: query("SELECT 1 FROM subscriptions"), timeout=20)
        intake(deliver(event("new")))
        worker.wait()
    assert not is_delivered(query)
    with running(make_worker("2")) as second:
        second.start()
        second.wait_until(lambda: is_delivered(query), timeout=40)
    assert inbox.counts() == {"delivered": 1, "repeated": 1, "disordered": 0, "forged": 0}


def test_a_stopping_process_records_the_results_of_its_open_requests(make_worker, inbox, intake, query):
    worker = make_worker("1")

    def stop_and_answer_late(_told):
        os.kill(worker.pid, signal.SIGTERM)
        return Fault(200, delay=0.5)

    inbox.fault_for = stop_and_answer_late
    with running(worker):
        worker.start()
        worker.wait_until(lambda: query("SELECT 1 FROM subscriptions"), timeout=20)
        intake(deliver(event("new")))
        assert worker.wait() == 0
    assert is_delivered(query)
    assert inbox.counts()["repeated"] == 0
