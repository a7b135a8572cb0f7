"""The scale role starts and stops workers according to the depth of a real queue."""

import json
import signal
import sys

import pika
import pytest

from messaging.management import QueueDepths
from messaging.topology import EVENT_ROUTING_KEY, EVENTS_QUEUE, EXCHANGE
from tests.integration.workers.events import event
from tests.integration.workers.operating import fast_scaler
from tests.servers import ServerProcess
from tests.services import Service, running

BACKLOG = 3000


@pytest.fixture
def backlog(vhost, channel):
    """A virtual host whose events queue is deep."""
    for number in range(BACKLOG):
        body = json.dumps(event("new", conversation=f"c-{number}")).encode()
        channel.basic_publish(EXCHANGE, EVENT_ROUTING_KEY, body, pika.BasicProperties(delivery_mode=2))
    return vhost


def test_the_scale_role_starts_workers_for_a_backlog_and_stops_them_afterwards(
    backlog, rabbitmq, migrated_postgres_url, tmp_path
):
    settings = {
        "OM_DATABASE_URL": migrated_postgres_url,
        "OM_SCALE_CEILING": "3",
    }
    service = Service(tmp_path, backlog.amqp_url, rabbitmq.management_url, settings)
    log = tmp_path / "scale.log"
    role = ServerProcess("scale", log)
    depths = QueueDepths((rabbitmq.management_url,), (backlog.amqp_url,))

    with running(role):
        command = [sys.executable, fast_scaler.__file__, "--processes"]
        role.launch(command, environment=service.environment(), directory=tmp_path)
        role.wait_until(
            lambda: depths.read().get(EVENTS_QUEUE) == 0 and targets(log)[-2:] == [2, 1], timeout=90.0
        )
        role.end(signal.SIGTERM, timeout=30.0)

    assert max(targets(log)) == 3
    assert [line["reason"] for line in lines(log, "scaled")][-1] == "calm"
    # Every worker that the scale role started ended before the role itself ended. A worker that is stopped
    # while it connects logs only its end.
    assert len(lines(log, "subscription_ended")) >= len(lines(log, "consumer_up"))


def test_queue_depths_are_unknown_without_a_management_api(vhost):
    assert QueueDepths(("http://guest:guest@127.0.0.1:9",), (vhost.amqp_url,)).read() == {}


def targets(log):
    return [line["target"] for line in lines(log, "scaled")]


def lines(log, kind):
    """Return the log's complete lines of one kind."""
    text = log.read_text() if log.exists() else ""
    found = [json.loads(line) for line in text.splitlines() if line.startswith("{") and line.endswith("}")]
    return [line for line in found if line["event"] == kind]
