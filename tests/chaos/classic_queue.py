"""Kill a broker under a steady load, and compare which messages a classic and a quorum queue have kept.

    python -m tests.chaos.classic_queue

Publisher confirms are off, the messages are persistent, and both queues are durable and on the same node.
docs/decisions/0301-quorum-queues-without-confirms.md quotes the figures.
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pika

from tests.servers import PrivateRabbitMQ, ensure_rabbitmq

QUEUES = {"classic": {"x-queue-type": "classic"}, "quorum": {"x-queue-type": "quorum"}}
ROUNDS = 3
RATE = 100.0
SECONDS = 12.0
PROBE_SECONDS = 0.5
BODY = b"x" * 400
PERSISTENT = 2


@dataclass(frozen=True, slots=True)
class Outcome:
    """The effect of one kill on one queue.

    Args:
        kind: classic or quorum.
        published: The number of published messages.
        proven: The number of messages published before the last synchronous method that the broker answered.
        lost: The number of proven messages that are missing after the restart.
        oldest_lost_seconds: How many seconds before the kill the oldest lost message was published.
    """

    kind: str
    published: int
    proven: int
    lost: int
    oldest_lost_seconds: float


def main() -> int:
    """Run all rounds, and return 0 if the quorum queue kept every proven message."""
    ensure_rabbitmq()
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="open-messaging-queues-") as directory:
        broker = PrivateRabbitMQ(Path(directory))
        with broker:
            for number in range(1, ROUNDS + 1):
                outcomes += _round(broker, number)
    lost = sum(outcome.lost for outcome in outcomes if outcome.kind == "quorum")
    classic = sum(outcome.lost for outcome in outcomes if outcome.kind == "classic")
    print(f"classic-queue: rounds={ROUNDS} lost by classic={classic} lost by quorum={lost}")
    return 1 if lost else 0


def _round(broker: PrivateRabbitMQ, number: int) -> list[Outcome]:
    connection = pika.BlockingConnection(pika.URLParameters(broker.amqp_url))
    channel = connection.channel()
    for name, arguments in QUEUES.items():
        channel.queue_declare(name, durable=True, arguments=arguments)
    published, proven = _publish(channel)
    killed_at = time.monotonic()
    broker.kill()
    broker.start()
    outcomes = [_compare(name, published, proven, _kept(broker, name), killed_at) for name in QUEUES]
    for outcome in outcomes:
        print(f"round {number}: {outcome}", flush=True)
    return outcomes


def _publish(channel: pika.adapters.blocking_connection.BlockingChannel) -> tuple[list[float], int]:
    """Publish numbered messages at a steady rate to both queues.

    Returns:
        The time at which each message was published, and the number of messages that were proven.
    """
    started = time.monotonic()
    published: list[float] = []
    proven, probed_at = 0, started
    properties = pika.BasicProperties(delivery_mode=PERSISTENT)
    while (now := time.monotonic()) - started < SECONDS:
        for name in QUEUES:
            channel.basic_publish("", name, f"{len(published)} ".encode() + BODY, properties)
        published.append(now)
        if now - probed_at > PROBE_SECONDS:
            for name in QUEUES:
                channel.queue_declare(name, passive=True)
            proven, probed_at = len(published), now
        time.sleep(max(0.0, started + len(published) / RATE - time.monotonic()))
    return published, proven


def _kept(broker: PrivateRabbitMQ, name: str) -> set[int]:
    """Consume all messages of a queue and return their numbers."""
    connection = pika.BlockingConnection(pika.URLParameters(broker.amqp_url))
    channel = connection.channel()
    kept: set[int] = set()
    while True:
        method, _, body = channel.basic_get(name, auto_ack=True)
        if method is None:
            connection.close()
            return kept
        kept.add(int(body.split()[0]))


def _compare(kind: str, published: list[float], proven: int, kept: set[int], killed_at: float) -> Outcome:
    lost = sorted(set(range(proven)) - kept)
    age = killed_at - published[lost[0]] if lost else 0.0
    return Outcome(kind, len(published), proven, len(lost), round(age, 2))


if __name__ == "__main__":
    sys.exit(main())
