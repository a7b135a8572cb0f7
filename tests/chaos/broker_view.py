"""Query and damage the broker as an operator could, through its management API and its AMQP port."""

from __future__ import annotations

import itertools
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import pika
import requests
from pika.adapters.utils.connection_workflow import AMQPConnectorException

if TYPE_CHECKING:
    from tests.servers import PrivateRabbitMQ

NO_CONNECTION = (pika.exceptions.AMQPError, AMQPConnectorException)
"""What pika raises if the broker is down or too busy for the handshake; they have no common base class."""

TIMEOUT_SECONDS = 10.0
INACTIVITY_SECONDS = 5.0
MAX_UNACKNOWLEDGED = 1000
"""A consumer's prefetch: fewer than the 2,000 messages that a quorum queue gives one consumer at a time."""

EVERYTHING = {"configure": ".*", "write": ".*", "read": ".*"}
EXCHANGE = "open-messaging"
EVENTS = "open-messaging.events"
UNROUTED = "open-messaging.unrouted"
DEAD_LETTERS = "open-messaging.dead-letters"
RECORDS = "open-messaging.dead-letter-records"
WAITING: Final = (EVENTS, UNROUTED, RECORDS)
"""The queues that workers consume: events, unrouted events, and dead letters that are not recorded yet."""

UNKNOWN: Final = -1
DEPTH: Final = """
    case rabbit_amqqueue:lookup({{resource, <<"/">>, queue, <<"{queue}">>}}) of
        {{ok, Queue}} ->
            case ra:consistent_query(amqqueue:get_pid(Queue), fun rabbit_fifo:overview/1, 5000) of
                {{ok, #{{num_messages := Messages}}, _}} -> Messages;
                _ -> {unknown}
            end;
        _ -> {unknown}
    end
"""
"""Asks a queue's leader for the depth. The leader answers only after a majority confirms that it leads.

Other sources are less reliable. The management API reads a table on the node that answers: the depth in that
table is up to 5 s old on the leader, and 0 on a node that has no record of the queue. A passive declare
returns 0 if the leader does not answer within 250 ms.
Source: rabbit_quorum_queue.erl, i_totals and stat, RabbitMQ 4.0.5.
"""


@dataclass(slots=True)
class BrokerView:
    """A view of the broker through one of its nodes.

    Args:
        node: The node that is queried.
    """

    node: PrivateRabbitMQ

    @property
    def amqp_url(self) -> str:
        """The node's AMQP URL, with credentials."""
        return self.node.amqp_url

    @property
    def management_url(self) -> str:
        """The URL of the node's management API, with credentials."""
        return self.node.management_url

    def queue(self, name: str) -> dict[str, Any]:
        """Return the management API's report on a queue, or an empty report if the API does not answer.

        The queue's own figures take precedence over the statistics, which can come from an earlier leader.
        """
        query = "disable_stats=true&enable_queue_totals=true"
        return self._look(f"queues/%2F/{name}") | self._look(f"queues/%2F/{name}?{query}")

    def depth(self, name: str) -> int:
        """Return the number of a queue's ready, unacknowledged and dead-lettered messages, or UNKNOWN."""
        try:
            return int(self.node.evaluate(DEPTH.format(queue=name, unknown=UNKNOWN), TIMEOUT_SECONDS))
        except (AssertionError, subprocess.TimeoutExpired, ValueError):
            return UNKNOWN

    def consumers(self) -> int:
        """Return how many consumers the events queue has; 0 if the queue does not exist."""
        parameters = pika.URLParameters(self.amqp_url)
        parameters.socket_timeout = parameters.stack_timeout = parameters.blocked_connection_timeout = 3.0
        try:
            connection = pika.BlockingConnection(parameters)
        except NO_CONNECTION:
            return 0
        try:
            answer = connection.channel().queue_declare(EVENTS, passive=True)
            return int(answer.method.consumer_count)
        except pika.exceptions.AMQPError:
            return 0
        finally:
            with suppress(pika.exceptions.AMQPError):
                connection.close()

    def waiting(self) -> int:
        """Return how many messages, ready or unacknowledged, are waiting for a worker, or UNKNOWN."""
        depths = [self.depth(queue) for queue in WAITING]
        return UNKNOWN if UNKNOWN in depths else sum(depths)

    def connections(self) -> set[str]:
        """Return the names of all connections. A name contains the client's port."""
        answer = self.request("GET", "connections")
        return {connection["name"] for connection in answer.json()} if answer.ok else set()

    def has_alarm(self) -> bool:
        """Return whether the management API reports an alarm."""
        return self.request("GET", "health/checks/alarms").status_code == 503

    def exists(self, path: str) -> bool:
        """Return whether the management API has the object at *path*, e.g. `exchanges/%2F/open-messaging`."""
        return self.request("GET", path).ok

    def bodies(self, queue: str) -> list[bytes]:
        """Read the body of every ready message over AMQP. The messages return to the queue afterwards.

        Raises:
            AssertionError: The queue's leader does not report how many messages there are.
        """
        depth = self.depth(queue)
        assert depth != UNKNOWN, f"the depth of {queue} is unknown"
        connection = pika.BlockingConnection(pika.URLParameters(self.amqp_url))
        try:
            bodies: list[bytes] = []
            while len(bodies) < depth and (more := _take(connection.channel(), queue)):
                bodies += more
            return bodies
        finally:
            connection.close()

    def unbind_events(self) -> None:
        """Delete the binding between the events exchange and the events queue."""
        path = f"bindings/%2F/e/open-messaging/q/{EVENTS}"
        for binding in self.request("GET", path).json():
            self.request("DELETE", f"{path}/{binding['properties_key']}")

    @property
    def permissions(self) -> str:
        """The path of the permissions that the product's user has in the virtual host."""
        return f"permissions/%2F/{urlsplit(self.management_url).username}"

    def request(self, method: str, path: str, body: object = None) -> requests.Response:
        """Send a request to the management API, and return the response, whatever its status."""
        return requests.request(
            method, f"{self.management_url}/api/{path}", json=body, timeout=TIMEOUT_SECONDS
        )

    def _look(self, path: str) -> dict[str, Any]:
        try:
            answer = self.request("GET", path)
            return dict(answer.json()) if answer.ok else {}
        except (requests.RequestException, ValueError):
            return {}


def _take(channel: Any, queue: str) -> list[bytes]:
    """Return the bodies of the ready messages that one consumer receives, up to its prefetch."""
    channel.basic_qos(prefetch_count=MAX_UNACKNOWLEDGED)
    deliveries = channel.consume(queue, inactivity_timeout=INACTIVITY_SECONDS)
    bodies = (body for _, _, body in itertools.islice(deliveries, MAX_UNACKNOWLEDGED))
    return list(itertools.takewhile(lambda body: body is not None, bodies))
