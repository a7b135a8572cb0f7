"""Compare the broker's exchanges and queues with the topology, declare missing ones, look into queues."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection
from pika.exceptions import ChannelClosedByBroker

from messaging import topology

NOT_FOUND: Final = 404
PRECONDITION_FAILED: Final = 406


class ObjectState(StrEnum):
    """The state of an exchange, queue or binding, as found or after it was declared."""

    EXISTS = "exists"
    MISSING = "missing"
    CREATED = "created"
    BOUND = "bound"
    DIFFERS = "differs"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class BrokerObject:
    """An exchange, queue or binding and its state.

    Args:
        kind: "exchange", "queue" or "binding".
        name: Its name; of a binding "exchange → queue".
        state: As found, or after it was declared.
        explanation: The broker's text if it differs or was refused.
        ready: Deliveries ready in the queue; None of anything else. A quorum queue whose leader does not
            answer in time counts as 0.
        consumers: Consumers of the queue; None of anything else.
    """

    kind: str
    name: str
    state: ObjectState
    explanation: str = ""
    ready: int | None = None
    consumers: int | None = None


def inspect(connection: BlockingConnection) -> list[BrokerObject]:
    """Return the state of every exchange and queue of the topology; change nothing.

    What exists is declared once more with the arguments it should have: that changes nothing and shows
    whether they differ. AMQP cannot query bindings, so they are left out.
    """
    return [_inspect_exchange(connection, name) for name in topology.EXCHANGES] + [
        _inspect_queue(connection, name) for name in topology.QUEUES
    ]


def set_up(connection: BlockingConnection) -> list[BrokerObject]:
    """Declare what is missing; return every object and its state. What differs is left as it is."""
    objects = [_create_missing(connection, found) for found in inspect(connection)]
    broken = {item.name for item in objects if item.state not in {ObjectState.EXISTS, ObjectState.CREATED}}
    bindings = [
        _bind(connection, queue, exchange, routing_key)
        for queue, exchange, routing_key in topology.BINDINGS
        if not broken & {queue, exchange}
    ]
    return objects + bindings


def count_waiting_events(connection: BlockingConnection) -> int:
    """Return how many deliveries wait in the events queue, without those that workers hold."""
    channel = connection.channel()
    answer = channel.queue_declare(topology.EVENTS_QUEUE, passive=True)
    channel.close()
    return int(answer.method.message_count)


def peek(connection: BlockingConnection, queue: str) -> Iterator[bytes]:
    """Yield the body of each message that waits in the queue; all of them are in it again at the end.

    They return in their order, marked as redelivered. Other consumers miss them meanwhile, and a delivery
    limit counts it, so this is for queues without either, such as the dead letters'.
    """
    channel = connection.channel()
    tags: list[int] = []
    try:
        while (found := channel.basic_get(queue))[0] is not None:
            tags.append(found[0].delivery_tag)
            yield found[2]
    finally:
        # One by one: requeued together, or by closing the channel, they would return in any order.
        for tag in tags:
            channel.basic_nack(tag)
        channel.close()


def _inspect_exchange(connection: BlockingConnection, name: str) -> BrokerObject:
    state, explanation = _try(connection, lambda channel: channel.exchange_declare(name, passive=True))
    if state is ObjectState.EXISTS:
        state, explanation = _try(connection, lambda channel: _declare_exchange(channel, name))
    return BrokerObject("exchange", name, state, explanation)


def _inspect_queue(connection: BlockingConnection, name: str) -> BrokerObject:
    counts: list[tuple[int, int]] = []

    def count(channel: BlockingChannel) -> None:
        method = channel.queue_declare(name, passive=True).method
        counts.append((method.message_count, method.consumer_count))

    state, explanation = _try(connection, count)
    if state is not ObjectState.EXISTS:
        return BrokerObject("queue", name, state, explanation)
    state, explanation = _try(connection, lambda channel: _declare_queue(channel, name))
    ready, consumers = counts[0]
    return BrokerObject("queue", name, state, explanation, ready, consumers)


def _create_missing(connection: BlockingConnection, found: BrokerObject) -> BrokerObject:
    if found.state is not ObjectState.MISSING:
        return found
    declare = _declare_exchange if found.kind == "exchange" else _declare_queue
    state, explanation = _try(connection, lambda channel: declare(channel, found.name))
    made = ObjectState.CREATED if state is ObjectState.EXISTS else state
    return BrokerObject(found.kind, found.name, made, explanation)


def _bind(connection: BlockingConnection, queue: str, exchange: str, routing_key: str) -> BrokerObject:
    state, explanation = _try(connection, lambda channel: channel.queue_bind(queue, exchange, routing_key))
    bound = ObjectState.BOUND if state is ObjectState.EXISTS else state
    return BrokerObject("binding", f"{exchange} → {queue}", bound, explanation)


def _declare_exchange(channel: BlockingChannel, name: str) -> None:
    kind, arguments = topology.EXCHANGES[name]
    channel.exchange_declare(name, exchange_type=kind, durable=True, arguments=arguments)


def _declare_queue(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name, durable=True, arguments=topology.QUEUES[name])


def _try(
    connection: BlockingConnection, action: Callable[[BlockingChannel], object]
) -> tuple[ObjectState, str]:
    """Run *action* on a channel of its own, since a refusal closes the channel; return the outcome."""
    channel = connection.channel()
    try:
        action(channel)
    except ChannelClosedByBroker as refusal:
        states = {NOT_FOUND: ObjectState.MISSING, PRECONDITION_FAILED: ObjectState.DIFFERS}
        state = states.get(refusal.reply_code, ObjectState.REFUSED)
        return state, "" if state is ObjectState.MISSING else refusal.reply_text
    channel.close()
    return ObjectState.EXISTS, ""
