"""Compare the broker's exchanges and queues with the topology, declare missing ones, and inspect queues."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any, Final

from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection
from pika.exceptions import ChannelClosedByBroker

from messaging import topology
from messaging.admin.session import count_messages

NOT_FOUND: Final = 404
PRECONDITION_FAILED: Final = 406


class ObjectState(StrEnum):
    """The state of an exchange, queue or binding, either as found or after it was declared."""

    EXISTS = "exists"
    MISSING = "missing"
    CREATED = "created"
    BOUND = "bound"
    DIFFERS = "differs"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class BrokerObject:
    """An exchange, queue or binding and its state.

    `kind` is "exchange", "queue" or "binding". The `name` of a binding is "exchange → queue". `explanation`
    is the broker's text if the object differs or was refused. `ready` and `consumers` count a queue's waiting
    messages and its consumers: 0 if a quorum queue's leader is slow to answer, None for other objects.
    """

    kind: str
    name: str
    state: ObjectState
    explanation: str = ""
    ready: int | None = None
    consumers: int | None = None


def inspect(connection: BlockingConnection) -> list[BrokerObject]:
    """Return the state of every exchange and queue of the topology; change nothing.

    Each existing object is declared again with the expected arguments, which changes nothing but shows
    whether its arguments differ. A user without configure permission does not see such a difference.
    Bindings are left out, because AMQP has no query for them.
    """
    exchanges = [_inspect(connection, "exchange", name) for name in topology.EXCHANGES]
    return exchanges + [_inspect(connection, "queue", name) for name in topology.QUEUES]


def set_up(connection: BlockingConnection) -> list[BrokerObject]:
    """Declare missing objects; return all objects with their states. Objects that differ stay unchanged."""
    objects = [_create_missing(connection, found) for found in inspect(connection)]
    broken = {item.name for item in objects if item.state not in {ObjectState.EXISTS, ObjectState.CREATED}}
    for queue, exchange, key in topology.BINDINGS:
        if not broken & {queue, exchange}:
            bind = partial(BlockingChannel.queue_bind, queue=queue, exchange=exchange, routing_key=key)
            state, explanation = _try(connection, bind, ObjectState.BOUND)
            objects.append(BrokerObject("binding", f"{exchange} → {queue}", state, explanation))
    return objects


def count_waiting_events(connection: BlockingConnection) -> int:
    """Return how many events wait in the events queue, not counting those that workers hold."""
    channel = connection.channel()
    count = count_messages(channel, topology.EVENTS_QUEUE)
    channel.close()
    return count


def peek(connection: BlockingConnection, queue: str) -> Iterator[bytes]:
    """Yield the body of each message that waits in a queue; at the end, all messages return to the queue.

    The messages return in order, marked as redelivered. In the meantime, consumers do not receive them. Each
    return counts towards a delivery limit. So use this only if the queue has no consumers and no such limit.
    """
    channel = connection.channel()
    tags: list[int] = []
    try:
        while (found := channel.basic_get(queue))[0] is not None:
            tags.append(found[0].delivery_tag)
            yield found[2]
    finally:
        # Requeue the messages one by one: requeueing them all at once would lose their order.
        for tag in tags:
            channel.basic_nack(tag)
        channel.close()


def _inspect(connection: BlockingConnection, kind: str, name: str) -> BrokerObject:
    answers: list[Any] = []

    def find(channel: BlockingChannel) -> None:
        declare = channel.exchange_declare if kind == "exchange" else channel.queue_declare
        answers.append(declare(name, passive=True).method)

    state, explanation = _try(connection, find, ObjectState.EXISTS)
    if state is not ObjectState.EXISTS:
        return BrokerObject(kind, name, state, explanation)
    state, explanation = _try(connection, lambda channel: _declare(channel, kind, name), ObjectState.EXISTS)
    if state is ObjectState.REFUSED:
        state, explanation = ObjectState.EXISTS, ""
    counts = () if kind == "exchange" else (answers[0].message_count, answers[0].consumer_count)
    return BrokerObject(kind, name, state, explanation, *counts)


def _create_missing(connection: BlockingConnection, found: BrokerObject) -> BrokerObject:
    if found.state is not ObjectState.MISSING:
        return found
    kind, name = found.kind, found.name
    created = _try(connection, lambda channel: _declare(channel, kind, name), ObjectState.CREATED)
    return BrokerObject(kind, name, *created)


def _declare(channel: BlockingChannel, kind: str, name: str) -> None:
    if kind == "queue":
        channel.queue_declare(name, durable=True, arguments=topology.QUEUES[name])
    else:
        exchange_type, arguments = topology.EXCHANGES[name]
        channel.exchange_declare(name, exchange_type=exchange_type, durable=True, arguments=arguments)


def _try(
    connection: BlockingConnection, action: Callable[[BlockingChannel], object], done: ObjectState
) -> tuple[ObjectState, str]:
    """Run *action* on its own channel, which a refusal would close; return the state and any explanation."""
    channel = connection.channel()
    try:
        action(channel)
    except ChannelClosedByBroker as refusal:
        states = {NOT_FOUND: ObjectState.MISSING, PRECONDITION_FAILED: ObjectState.DIFFERS}
        state = states.get(refusal.reply_code, ObjectState.REFUSED)
        return state, "" if state is ObjectState.MISSING else refusal.reply_text
    channel.close()
    return done, ""
