"""See whether the broker has the topology, and declare what is missing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from pika.exceptions import ChannelClosedByBroker

from messaging import topology

if TYPE_CHECKING:
    from collections.abc import Callable

    from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

NOT_FOUND: Final = 404
PRECONDITION_FAILED: Final = 406


class ObjectState(StrEnum):
    """How an exchange, queue or binding was found, or left."""

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
        state: How it was found, or left.
        explanation: The broker's own words where it differs or was refused.
        ready: Deliveries that wait in the queue; None of anything else. A quorum queue whose leader does not
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

    What exists is declared once more with the arguments it should have: that changes nothing and tells
    whether they differ. Bindings cannot be asked for over AMQP and are left out.
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
    """Run *action* on a channel of its own, since a refusal closes the channel; say how it went."""
    channel = connection.channel()
    try:
        action(channel)
    except ChannelClosedByBroker as refusal:
        states = {NOT_FOUND: ObjectState.MISSING, PRECONDITION_FAILED: ObjectState.DIFFERS}
        state = states.get(refusal.reply_code, ObjectState.REFUSED)
        return state, "" if state is ObjectState.MISSING else refusal.reply_text
    channel.close()
    return ObjectState.EXISTS, ""
