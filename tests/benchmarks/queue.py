"""Fill, empty and count the events queue."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import pika

from messaging import topology
from messaging.admin import set_up
from messaging.envelope import WEBHOOK
from tests.benchmarks.wrk import LoadError
from tests.stand.ledger import digest_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.servers import PrivateRabbitMQ

POLL_SECONDS: Final = 0.1
SETTLE_SECONDS: Final = 0.6
"""The queue counts as settled if its length has not changed for this number of seconds."""

PREFETCH: Final = 2000
ACKNOWLEDGE_EVERY: Final = 500


class EventsQueue:
    """The events queue of a private broker. Each call opens a connection of its own.

    Args:
        broker: The running node.
    """

    def __init__(self, broker: PrivateRabbitMQ) -> None:
        self._url = broker.amqp_url

    def declare(self) -> None:
        """Declare all exchanges and queues of the service."""
        with self._connection() as connection:
            set_up(connection)

    def purge(self) -> int:
        """Delete all ready messages, and return their number."""
        with self._connection() as connection:
            return int(connection.channel().queue_purge(topology.EVENTS_QUEUE).method.message_count)

    def settle(self, *, timeout: float = 60.0) -> int:
        """Wait until the queue's length stops changing, and return the length."""
        with self._connection() as connection:
            channel = connection.channel()
            deadline = time.monotonic() + timeout
            length, since = _ready(channel), time.monotonic()
            while time.monotonic() - since < SETTLE_SECONDS:
                if time.monotonic() > deadline:
                    raise LoadError("the events queue does not settle")
                connection.sleep(POLL_SECONDS)
                if (now := _ready(channel)) != length:
                    length, since = now, time.monotonic()
            return length

    def empty(self) -> int:
        """Wait until the queue's length stops changing, delete all messages, and return their number."""
        length = self.settle()
        self.purge()
        return length

    def drain_digests(self) -> set[bytes]:
        """Consume every delivery and return the SHA-256 of each body."""
        digests = set()
        with self._connection() as connection:
            channel = connection.channel()
            channel.basic_qos(prefetch_count=PREFETCH)
            for method, _, body in channel.consume(topology.EVENTS_QUEUE, inactivity_timeout=SETTLE_SECONDS):
                if method is None:
                    break
                digests.add(digest_of(body))
                if method.delivery_tag % ACKNOWLEDGE_EVERY == 0:
                    channel.basic_ack(method.delivery_tag, multiple=True)
            channel.basic_ack(0, multiple=True)
            channel.cancel()
        return digests

    def fill(self, bodies: Iterable[bytes]) -> float:
        """Publish each body as the edge would; return how many seconds the broker takes to get them all."""
        now_us = time.time_ns() // 1000
        with self._connection() as connection:
            channel = connection.channel()
            started = time.monotonic()
            for number, body in enumerate(bodies):
                channel.basic_publish(
                    topology.EXCHANGE, topology.EVENT_ROUTING_KEY, body, _properties(number, now_us)
                )
            _ready(channel)
            return time.monotonic() - started

    def _connection(self) -> pika.BlockingConnection:
        return pika.BlockingConnection(pika.URLParameters(self._url))


def _ready(channel: pika.adapters.blocking_connection.BlockingChannel) -> int:
    return int(channel.queue_declare(topology.EVENTS_QUEUE, passive=True).method.message_count)


def _properties(number: int, now_us: int) -> pika.BasicProperties:
    message_id = f"bench-{now_us:x}-{number:x}"
    headers = {"received-at-us": now_us, "request-id": message_id, "source": WEBHOOK}
    return pika.BasicProperties(message_id=message_id, delivery_mode=2, headers=headers)
