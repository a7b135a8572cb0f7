"""Look at the broker, and damage it, as a person at its management page and its AMQP port could."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pika
import requests
from pika.adapters.utils.connection_workflow import AMQPConnectorException

NO_CONNECTION = (pika.exceptions.AMQPError, AMQPConnectorException)
"""What pika raises where a broker is away, or too busy to greet within its time; they have no common root."""

TIMEOUT_SECONDS = 10.0
EVERYTHING = {"configure": ".*", "write": ".*", "read": ".*"}
EXCHANGE = "open-messaging"
EVENTS = "open-messaging.events"
UNROUTED = "open-messaging.unrouted"
DEAD_LETTERS = "open-messaging.dead-letters"
RECORDS = "open-messaging.dead-letter-records"


@dataclass(slots=True)
class BrokerView:
    """One node, seen from outside.

    Args:
        amqp_url: With credentials.
        management_url: With credentials.
    """

    amqp_url: str
    management_url: str

    def queue(self, name: str) -> dict[str, Any]:
        """Return what the API tells of a queue; empty where there is no answer.

        What the queue says itself goes before the statistics: those of who led it before may stay.
        """
        query = "disable_stats=true&enable_queue_totals=true"
        return self._look(f"queues/%2F/{name}") | self._look(f"queues/%2F/{name}?{query}")

    def depth(self, name: str) -> int:
        """Return ready and unacknowledged deliveries; -1 where there is no answer."""
        found = self._look(f"queues/%2F/{name}?disable_stats=true&enable_queue_totals=true")
        return int(found.get("messages", -1))

    def consumers(self) -> int:
        """Return how many consumers the events queue has, by the queue's own word; 0 where it has none."""
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

    def is_drained(self) -> bool:
        """Tell whether nothing waits for a worker, ready or unacknowledged."""
        return all(self.depth(queue) == 0 for queue in (EVENTS, UNROUTED, RECORDS))

    def connections(self) -> set[str]:
        """Return the names of all connections; a name holds the client's port."""
        answer = self.request("GET", "connections")
        return {connection["name"] for connection in answer.json()} if answer.ok else set()

    def has_alarm(self) -> bool:
        """Tell whether the broker lists an alarm."""
        return self.request("GET", "health/checks/alarms").status_code == 503

    def exists(self, path: str) -> bool:
        """Tell whether the API knows a thing, such as `exchanges/%2F/open-messaging`."""
        return self.request("GET", path).ok

    def bodies(self, queue: str) -> list[bytes]:
        """Return every message's body by AMQP; the messages stay, returned when the connection closes."""
        connection = pika.BlockingConnection(pika.URLParameters(self.amqp_url))
        try:
            channel = connection.channel()
            bodies = []
            while (message := channel.basic_get(queue))[0] is not None:
                bodies.append(message[2])
            return bodies
        finally:
            connection.close()

    def unbind_events(self) -> None:
        """Delete the binding of the events queue."""
        path = f"bindings/%2F/e/open-messaging/q/{EVENTS}"
        for binding in self.request("GET", path).json():
            self.request("DELETE", f"{path}/{binding['properties_key']}")

    @property
    def permissions(self) -> str:
        """The path of the product's rights in the virtual host."""
        return f"permissions/%2F/{urlsplit(self.management_url).username}"

    def request(self, method: str, path: str, body: object = None) -> requests.Response:
        """Ask the management API, whatever it answers."""
        return requests.request(
            method, f"{self.management_url}/api/{path}", json=body, timeout=TIMEOUT_SECONDS
        )

    def _look(self, path: str) -> dict[str, Any]:
        try:
            answer = self.request("GET", path)
            return dict(answer.json()) if answer.ok else {}
        except (requests.RequestException, ValueError):
            return {}
