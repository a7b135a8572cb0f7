"""Compare the broker's exchanges and queues with the topology, declare missing ones, inspect queues."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any, Final

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

    `kind`: "exchange", "queue" or "binding". `name`: of a binding "exchange → queue". `explanation`: the
    broker's text if it differs or was refused. `ready` deliveries and `consumers` of a queue; None of
    anything else. A quorum queue whose leader does not answer in time counts as 0.
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
    exchanges = [_inspect(connection, "exchange", name) for name in topology.EXCHANGES]
    return exchanges + [_inspect(connection, "queue", name) for name in topology.QUEUES]


def set_up(connection: BlockingConnection) -> list[BrokerObject]:
    """Declare missing objects; return every object and its state. Objects that differ are not changed."""
    objects = [_create_missing(connection, found) for found in inspect(connection)]
    broken = {item.name for item in objects if item.state not in {ObjectState.EXISTS, ObjectState.CREATED}}
    for queue, exchange, key in topology.BINDINGS:
        if not broken & {queue, exchange}:
            bind = partial(BlockingChannel.queue_bind, queue=queue, exchange=exchange, routing_key=key)
            state, explanation = _try(connection, bind, ObjectState.BOUND)
            objects.append(BrokerObject("binding", f"{exchange} → {queue}", state, explanation))
    return objects


def count_waiting_events(connection: BlockingConnection) -> int:
    """Return how many deliveries wait in the events queue, without those that workers hold."""
    channel = connection.channel()
    answer = channel.queue_declare(topology.EVENTS_QUEUE, passive=True)
    channel.close()
    return int(answer.method.message_count)


def peek(connection: BlockingConnection, queue: str) -> Iterator[bytes]:
    """Yield the body of each message that waits in the queue; all are back in the queue at the end.

    They return in their order, marked as redelivered. Other consumers miss them meanwhile, and each return
    counts towards a delivery limit, so use this for queues without either, such as the dead letters'.
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


def _inspect(connection: BlockingConnection, kind: str, name: str) -> BrokerObject:
    answers: list[Any] = []

    def find(channel: BlockingChannel) -> None:
        declare = channel.exchange_declare if kind == "exchange" else channel.queue_declare
        answers.append(declare(name, passive=True).method)

    state, explanation = _try(connection, find, ObjectState.EXISTS)
    if state is not ObjectState.EXISTS:
        return BrokerObject(kind, name, state, explanation)
    state, explanation = _try(connection, lambda channel: _declare(channel, kind, name), ObjectState.EXISTS)
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
    """Run *action* on a channel of its own, which a refusal closes; return *done* or the refusal."""
    channel = connection.channel()
    try:
        action(channel)
    except ChannelClosedByBroker as refusal:
        states = {NOT_FOUND: ObjectState.MISSING, PRECONDITION_FAILED: ObjectState.DIFFERS}
        state = states.get(refusal.reply_code, ObjectState.REFUSED)
        return state, "" if state is ObjectState.MISSING else refusal.reply_text
    channel.close()
    return done, ""
