"""See what waits in a queue, and leave it there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from messaging.topology import EVENTS_QUEUE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pika.adapters.blocking_connection import BlockingConnection


def waiting_events(connection: BlockingConnection) -> int:
    """Return how many deliveries wait in the events queue; those that workers hold are not among them."""
    channel = connection.channel()
    answer = channel.queue_declare(EVENTS_QUEUE, passive=True)
    channel.close()
    return int(answer.method.message_count)


def peek(connection: BlockingConnection, queue: str) -> Iterator[bytes]:
    """Yield the body of each message that waits in the queue; all of them are in it again at the end.

    They come back in their order, marked as redelivered. Other consumers miss them meanwhile, and a delivery
    limit counts it, so this is for queues without either, such as the dead letters'.
    """
    channel = connection.channel()
    tags: list[int] = []
    try:
        while (found := channel.basic_get(queue))[0] is not None:
            tags.append(found[0].delivery_tag)
            yield found[2]
    finally:
        # One by one: what goes back together, or with its channel, goes back in any order.
        for tag in tags:
            channel.basic_nack(tag)
        channel.close()
