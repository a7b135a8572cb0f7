"""The deliver process is stopped while a request is open."""

import os
import signal

import pytest

from simulator.platform import Fault
from tests.integration.workers.events import deliver, event
from tests.services import GONE, Service, Worker, running


class DeliverWorker(Worker):
    role = "deliver"
    started = "role_started"


@pytest.fixture
def destination_names():
    return ("crm",)


def test_a_stopping_process_records_the_results_of_its_open_requests(  # noqa: PLR0917  # fixtures
    destinations_file, migrated_url, tmp_path, inbox, intake, query
):
    service = Service(tmp_path, GONE, settings={"OM_DESTINATIONS": destinations_file})
    worker = DeliverWorker(service, migrated_url)

    def stop_and_answer_late(_told):
        os.kill(worker.pid, signal.SIGTERM)
        return Fault(200, delay=0.5)

    inbox.fault_for = stop_and_answer_late
    with running(worker):
        worker.start()
        worker.wait_until(lambda: query("SELECT 1 FROM subscriptions"), timeout=20)
        intake(deliver(event("new")))
        assert worker.wait() == 0
    assert query("SELECT outcome FROM deliveries") == [("delivered",)]
    assert inbox.counts()["repeated"] == 0
