"""Measure the lowest latency that an event can have if the broker and the database each flush once."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

import pika

from messaging import topology
from tests.benchmarks.receivers.bare_consumer import insert_into

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.benchmarks.rig import Rig

PERSISTENT: Final = pika.BasicProperties(delivery_mode=2)
DRAIN_SECONDS: Final = 10.0


def least_delays(rig: Rig, bodies: Sequence[bytes], rate: float) -> list[float]:
    """Publish, insert and commit each body, and return how many seconds each took from publish to commit.

    Args:
        rig: A rig whose queue is empty.
        bodies: The bodies of distinct events.
        rate: The number of events per second.
    """
    published: list[float] = []
    delays: list[float] = []
    consumer = threading.Thread(target=_consume, args=(rig, len(bodies), published, delays))
    consumer.start()
    with _connection(rig) as connection:
        channel = connection.channel()
        started = time.monotonic()
        for number, body in enumerate(bodies):
            connection.sleep(max(0.0, started + number / rate - time.monotonic()))
            published.append(time.monotonic())
            channel.basic_publish(topology.EXCHANGE, topology.EVENT_ROUTING_KEY, body, PERSISTENT)
    consumer.join()
    return delays


def _consume(rig: Rig, count: int, published: Sequence[float], delays: list[float]) -> None:
    """Commit the deliveries one by one, in the order in which they were published."""
    insert = insert_into(rig.fresh_database())
    with _connection(rig) as connection:
        channel = connection.channel()
        for method, _, body in channel.consume(topology.EVENTS_QUEUE, inactivity_timeout=DRAIN_SECONDS):
            if method is None:
                break
            insert([body])
            delays.append(time.monotonic() - published[len(delays)])
            channel.basic_ack(method.delivery_tag)
            if len(delays) == count:
                break
        channel.cancel()


def _connection(rig: Rig) -> pika.BlockingConnection:
    return pika.BlockingConnection(pika.URLParameters(rig.broker.amqp_url))
