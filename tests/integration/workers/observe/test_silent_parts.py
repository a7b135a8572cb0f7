"""The status page names each part that stops, freezes or disappears, with real servers."""

import signal
import sys
import time

import pytest
import requests

from tests.servers import LOOPBACK, ServerProcess, free_port
from tests.servers.postgresql import PrivatePostgreSQL
from tests.servers.rabbitmq import PrivateRabbitMQ
from tests.services import Edge, Service, declare_topology, post, running, signature
from workers.db.migrations import schema

pytestmark = pytest.mark.timeout(300)

PATIENCE = 60.0


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    broker = PrivateRabbitMQ(tmp_path_factory.mktemp("broker"))
    broker.start()
    declare_topology(broker.amqp_url)
    yield broker
    broker.stop()


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    with PrivatePostgreSQL(tmp_path_factory.mktemp("database"), durable=False) as server:
        server.address = server.create_database("events")
        schema.upgrade(server.address)
        yield server


@pytest.fixture(scope="module")
def service(broker, database, tmp_path_factory):
    settings = {"OM_DATABASE_URL": database.address}
    return Service(tmp_path_factory.mktemp("service"), broker.amqp_url, broker.management_url, settings)


@pytest.fixture(scope="module")
def edge(service):
    edge = Edge(service)
    with running(edge):
        edge.start()
        yield edge


@pytest.fixture(scope="module")
def read_state(service, edge):
    """Run om-observe, and return a function that reads the page's data."""
    bind = f"{LOOPBACK}:{free_port()}"
    service.settings |= {"OM_METRICS_BIND": bind, "OM_BIND": f"{LOOPBACK}:{edge.port}"}
    log = service.directory / "observe.log"
    process = ServerProcess("observe", log)
    with running(process):
        command = [sys.executable, "-m", "workers", "observe"]
        process.launch(command, environment=service.environment(), directory=service.directory)
        process.wait_until(lambda: "metrics_served" in log.read_text(), timeout=30.0)

        def read(path="/ops/state"):
            began = time.monotonic()
            answer = requests.get(f"http://{bind}{path}", timeout=30)
            assert time.monotonic() - began < 15.0
            return answer.json() if path == "/ops/state" else answer

        yield read


def wait_for(read_state, **lights):
    """Read until the lights are as expected; return that state."""
    deadline = time.monotonic() + PATIENCE
    while True:
        state = read_state()
        found = {light["name"]: light["state"] for light in state["lights"]}
        if found == {"broker": "up", "database": "up", "edge": "up", "journal": "up"} | lights:
            return state
        assert time.monotonic() < deadline, state["lights"]
        time.sleep(0.5)


def texts(state):
    return " ".join(alert["text"] for alert in state["alerts"])


def test_a_database_that_freezes_is_named_and_its_last_values_keep_their_age(read_state, database, edge):
    assert post(edge.url, b"{}", X_Hub_Signature_256=signature(b"{}")).status_code == 200
    before = wait_for(read_state)
    assert "No intake worker reports." in texts(before)
    database.freeze()
    try:
        state = wait_for(read_state, database="down")
        assert "The database does not answer: " in texts(state)
        # Samples that no longer hold raise no alert.
        assert "No intake worker reports." not in texts(state)
        assert (
            state["activity"]["minutes"] == before["activity"]["minutes"] or state["activity"]["age_s"] > 15
        )
        assert state["metrics"]["age_s"] > 0
        deadline = time.monotonic() + PATIENCE
        while "om_database_up 0.0" not in read_state("/metrics").text:
            assert time.monotonic() < deadline
            time.sleep(0.5)
    finally:
        database.resume()
    wait_for(read_state)


@pytest.mark.parametrize(
    ("part", "fault", "repair", "text"),
    [
        ("database", "stop", "start", "The database does not answer: it accepts no connection"),
        ("broker", "stop", "start", "The broker does not answer: no broker of OM_AMQP_URL answers"),
        ("broker", "freeze", "resume", "The broker does not answer"),
    ],
)
def test_a_part_that_does_not_answer_is_named_and_the_depths_stay(  # noqa: PLR0917  # fixtures and cases
    read_state, broker, database, part, fault, repair, text
):
    server = {"broker": broker, "database": database}[part]
    assert wait_for(read_state)["queues"]["rows"]
    getattr(server, fault)()
    try:
        state = wait_for(read_state, **{part: "down"})
        assert text in texts(state)
        assert state["queues"]["rows"]
        assert fault != "freeze" or state["queues"]["problem"]
    finally:
        getattr(server, repair)()
    wait_for(read_state)


def test_an_edge_that_is_away_is_named_and_its_journal_unknown(read_state, edge):
    wait_for(read_state)
    edge.end(signal.SIGTERM, timeout=30.0)

    state = wait_for(read_state, edge="down", journal="down")

    assert "The edge does not answer" in texts(state)
    [journal] = [light for light in state["lights"] if light["name"] == "journal"]
    assert journal["problem"] == "unknown: the edge does not answer"
