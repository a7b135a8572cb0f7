"""Model a broker for the product's own publisher, as tests/model/edge.pml and docs/faults.md describe it.

An event is safe in the broker once the broker has flushed it. A crash loses all unflushed events. If a
channel could not register with the queue for lack of a majority, events published on it are dropped silently.
"""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING

from pika import spec

from messaging.topology import EXCHANGE, EXCHANGES
from tests.simulation.connection import method

if TYPE_CHECKING:
    from tests.simulation.connection import Connection
    from tests.simulation.world import World

NAME = re.compile(rb"<\d+>")
"""Matches an event's name, with which its body begins."""

FLUSH_SECONDS = (0.001, 0.01, 0.1, 4.0)
"""The possible durations of a flush, in seconds. All are below the grace period: with a longer flush,
docs/guarantees.md does not exclude a loss."""


class Broker:
    """A broker with its exchange, queues and connections.

    `kept` contains the names of all events that were flushed in a queue, including those consumed since.
    `ready` contains the names of the events in the events queue. `copies` maps each event's name to the
    distinct pairs of properties and body with which it was published.
    """

    def __init__(self, world: World, nodes: int) -> None:
        self._world = world
        self.nodes = nodes
        self.is_up = self.has_majority = self.is_bound = self.has_exchange = True
        self.has_unrouted = True
        self.is_blocked = self.is_refusing = False
        self.latency = 0.002
        self.size_limit = 1 << 30
        self.kept: set[bytes] = set()
        self.copies: dict[bytes, set[tuple[bytes, bytes]]] = {}
        self.ready: deque[bytes] = deque()
        self.connections: list[Connection] = []
        self._generation = 0

    def publish(self, connection: Connection, properties: bytes, body: bytes) -> None:
        """Route a published event to a queue, or else close the channel or return the event."""
        connection.tag += 1
        name = NAME.match(body)
        if name is None:
            self._world.promises.fail(f"{body!r} is published, which was never sent")
            return
        self.copies.setdefault(name[0], set()).add((properties, body))
        if not self.has_exchange:
            connection.close_channel(404, "no exchange")
        elif len(body) > self.size_limit:
            text = f"message size {len(body)} is larger than configured max size {self.size_limit}"
            connection.close_channel(406, text)
        elif self.is_bound or (self.has_unrouted and "alternate-exchange" in EXCHANGES[EXCHANGE][1]):
            self._enqueue(connection, name[0], connection.tag)
        else:
            connection.reply(connection.on_return, connection, method(reply_text="NO_ROUTE"), None, body)

    def _enqueue(self, connection: Connection, name: bytes, tag: int) -> None:
        if connection.is_registered is None:
            connection.is_registered = self.has_majority
        if self.is_refusing:
            connection.confirm(spec.Basic.Nack(tag))
        elif connection.is_registered:
            connection.pending += 1
            delay = self._world.random.choice(FLUSH_SECONDS) * self._world.random.random()
            self._world.schedule(delay, self._flush, connection, name, tag, self._generation)

    def _flush(self, connection: Connection, name: bytes, tag: int, generation: int) -> None:
        if generation != self._generation:
            return
        if not self.has_majority:
            self._world.schedule(0.3, self._flush, connection, name, tag, generation)
            return
        connection.pending -= 1
        self.kept.add(name)
        if self.is_bound:
            self.ready.append(name)
        connection.confirm(spec.Basic.Ack(tag))

    def consume(self, count: int) -> None:
        """Remove up to *count* events from the queue, as workers do."""
        ready = self.ready
        while ready and count:
            ready.popleft()
            count -= 1

    def lose_unflushed(self) -> None:
        """Discard every event that a majority has not flushed yet."""
        self._generation += 1
        for connection in self.connections:
            connection.pending = 0

    def crash(self) -> None:
        """Crash: discard every unflushed event, and break all connections."""
        self.is_up = False
        self.lose_unflushed()
        for connection in list(self.connections):
            connection.cut(self._world.random.random() * 0.5)

    def block(self) -> None:
        """Stop reading from all connections, and notify their clients, as the broker does during an alarm."""
        self.is_blocked = True
        for connection in self.connections:
            connection.reply(connection.on_blocked, connection, None)

    def unblock(self) -> None:
        """Read from all connections again, and notify their clients."""
        self.is_blocked = False
        for connection in list(self.connections):
            connection.reply(connection.on_unblocked, connection, None)
            connection.read_held()
