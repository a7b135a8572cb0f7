"""Fixtures that run a real edge with a real broker."""

from contextlib import ExitStack

import pika
import pytest

from messaging.topology import EVENT_ROUTING_KEY, EVENTS_QUEUE, EXCHANGE
from tests.integration.workers.consuming import depth
from tests.services import GONE, SECRET, Edge, Service, declare_topology, running


class EventsQueue:
    """Consumes the events queue."""

    def __init__(self, amqp_url):
        self._connection = pika.BlockingConnection(pika.URLParameters(amqp_url))
        self._channel = self._connection.channel()

    def take(self, count, *, timeout=10.0):
        """Return *count* deliveries, or as many as arrive within *timeout*."""
        taken = []
        consumer = self._channel.consume(EVENTS_QUEUE, auto_ack=True, inactivity_timeout=timeout)
        for method, properties, body in consumer:
            if method is None:
                break
            taken.append((properties, body))
            if len(taken) == count:
                break
        self._channel.cancel()
        return taken

    def ready(self):
        """Return the number of events in the queue."""
        return depth(self._channel)

    def flood(self, count):
        """Publish events as another host would."""
        for number in range(count):
            self._channel.basic_publish(EXCHANGE, EVENT_ROUTING_KEY, b'{"flood":%d}' % number)

    def is_empty(self):
        return not self.take(1, timeout=0.5)

    def close(self):
        self._connection.close()


@pytest.fixture
def make_edge(tmp_path):
    """Return a function that starts an edge; without a broker, it waits only until the edge is live."""
    with ExitStack() as edges:

        def make(
            amqp_url=GONE, management_url="", directory=tmp_path, *, port=0, wait_for_broker=True, **settings
        ):
            directory.mkdir(exist_ok=True)
            edge = Edge(Service(directory, amqp_url, management_url, settings), port=port)
            edges.enter_context(running(edge))
            edge.start(wait_for_broker=wait_for_broker and amqp_url != GONE)
            return edge

        yield make


@pytest.fixture(scope="module")
def declared_vhost(rabbitmq):
    with rabbitmq.make_vhost() as vhost:
        declare_topology(vhost.amqp_url)
        yield vhost


@pytest.fixture(scope="module")
def start_edge(declared_vhost, tmp_path_factory):
    """Return a function that starts an edge for a whole module."""
    with ExitStack() as edges:

        def start(**settings):
            directory = tmp_path_factory.mktemp("edge")
            edge = edges.enter_context(
                running(Edge(Service(directory, declared_vhost.amqp_url, "", settings)))
            )
            edge.start()
            return edge

        yield start


@pytest.fixture(scope="module")
def module_edge(start_edge):
    return start_edge(OM_EVENTS_HEADERS=f"X-Api-Key={SECRET}")


@pytest.fixture(scope="module")
def extended_edge(start_edge):
    """An edge that an integrator has extended."""
    return start_edge(OM_FLASK_EXTENSIONS="tests.integration.webhook_api.extension:count_requests")


@pytest.fixture
def queue_of():
    with ExitStack() as opened:

        def open_queue(amqp_url):
            queue = EventsQueue(amqp_url)
            opened.callback(queue.close)
            return queue

        yield open_queue


@pytest.fixture
def events_queue(declared_vhost, queue_of):
    return queue_of(declared_vhost.amqp_url)
