"""Dead letters are neither overlooked nor miscounted while their queue's leader does not answer."""

import threading

import pika
import pytest

from messaging import topology
from messaging.admin import broker_session, count_waiting_events, lock_dead_letters
from messaging.errors import BrokerUnavailableError
from tests.servers import PrivateRabbitMQ, require_rabbitmq
from tests.services import declare_topology
from tests.waiting import wait_until

BODIES = [b"body %d" % number for number in range(3)]
SILENT_SECONDS = 3.0


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    require_rabbitmq()
    with PrivateRabbitMQ(tmp_path_factory.mktemp("rabbitmq")) as node:
        declare_topology(node.amqp_url)
        with pika.BlockingConnection(pika.URLParameters(node.amqp_url)) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            for queue in (topology.DEAD_LETTERS, topology.EVENTS_QUEUE):
                for body in BODIES:
                    channel.basic_publish("", queue, body)
        yield node


@pytest.fixture
def silence(node):
    """Return a function that stops a queue's leader from answering for a few seconds."""
    timers = []

    def silence(queue, seconds=SILENT_SECONDS):
        leader = f"'%2F_{queue}'"
        node.evaluate(f"sys:suspend({leader})")
        timers.append(threading.Timer(seconds, node.evaluate, [f"sys:resume({leader})"]))
        timers[-1].start()

    yield silence
    for timer in timers:
        timer.join()


def test_the_dead_letters_of_a_silent_leader_are_found(node, silence):
    with lock_dead_letters((node.amqp_url,), client_name="test") as queue:
        silence(topology.DEAD_LETTERS)
        assert queue.count() == len(BODIES)
        silence(topology.DEAD_LETTERS)
        found = [message.envelope.body for window in queue.windows() for message in window]
        assert sorted(found) == BODIES


def test_the_waiting_events_of_a_silent_leader_are_counted(node, silence):
    with broker_session((node.amqp_url,), client_name="test") as connection:
        silence(topology.EVENTS_QUEUE)
        assert count_waiting_events(connection) == len(BODIES)
        # The first count took a message. The leader puts it back after the channel has been closed.
        wait_until(lambda: count_waiting_events(connection) == len(BODIES))


def test_an_error_is_raised_if_the_leader_falls_silent_between_two_windows(node, silence):
    found = []

    def read():
        for window in queue.windows(1):
            found.extend(window)
            if len(found) == 1:
                silence(topology.DEAD_LETTERS, 2 * SILENT_SECONDS)

    with lock_dead_letters((node.amqp_url,), client_name="test") as queue:
        with pytest.raises(BrokerUnavailableError, match="run the command again"):
            read()
        assert 0 < len(found) < len(BODIES)
