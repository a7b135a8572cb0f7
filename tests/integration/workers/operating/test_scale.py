"""The scale role beside a real broker: workers come with a backlog and go when it is gone."""

import json
import signal
import sys

import pika
import pytest

from messaging.management import QueueDepths
from messaging.topology import EVENT_ROUTING_KEY, EVENTS_QUEUE, EXCHANGE
from tests.integration.workers.operating import fast_scaler
from tests.servers import ServerProcess
from tests.services import Service, declare_topology, running
from workers.db.migrations import schema

BACKLOG = 3000


@pytest.fixture
def backlog(vhost):
    """A queue with events in it."""
    declare_topology(vhost.amqp_url)
    connection = pika.BlockingConnection(pika.URLParameters(vhost.amqp_url))
    channel = connection.channel()
    channel.confirm_delivery()
    for number in range(BACKLOG):
        event = {
            "eventType": "openmessaging:conversation:new",
            "conversationId": f"c-{number}",
            "timestamp": "2024-05-15T14:32:10Z",
        }
        body = json.dumps(event).encode()
        channel.basic_publish(EXCHANGE, EVENT_ROUTING_KEY, body, pika.BasicProperties(delivery_mode=2))
    connection.close()
    return vhost


def test_workers_come_with_a_backlog_and_go_when_it_is_gone(backlog, rabbitmq, postgres_url, tmp_path):
    schema.upgrade(postgres_url)
    settings = {
        "OM_DATABASE_URL": postgres_url,
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
            lambda: depths.read().get(EVENTS_QUEUE) == 0 and targets(log)[-1:] == [1], timeout=60.0
        )
        role.end(signal.SIGTERM, timeout=30.0)

    assert max(targets(log)) == 3
    assert [line["reason"] for line in lines(log, "scaled")][-1] == "calm"
    # Every worker ended before the role did.
    assert len(lines(log, "subscription_ended")) == len(lines(log, "consumer_up"))


def test_a_depth_without_an_answer_is_unknown_and_not_empty(vhost):
    assert QueueDepths(("http://guest:guest@127.0.0.1:9",), (vhost.amqp_url,)).read() == {}


def targets(log):
    return [line["target"] for line in lines(log, "scaled")]


def lines(log, event):
    """Return the log's lines of one kind; what is just being written is left out."""
    text = log.read_text() if log.exists() else ""
    found = [json.loads(line) for line in text.splitlines() if line.startswith("{") and line.endswith("}")]
    return [line for line in found if line["event"] == event]
