"""Publish events on the process's loop, and notice at once when that stops working.

Nothing here waits. Whoever publishes keeps every event until it is proven, by probes or by confirms; what
becomes of the connection in between is told to the listener (webhook_api/relay/outlet.py).
There is at most one connection and one timer: without a connection it makes one, one that is not ready it
gives up in time. What pika still reads of a connection given up is not heard: it says nothing of the next.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from pika import spec

from messaging import topology
from messaging.backoff import delay_before
from messaging.broker import (
    ATTEMPT_SECONDS,
    NO_LIMIT,
    BrokerConnection,
    described,
    parameters_of,
    size_limit_of,
)
from messaging.log import logger
from messaging.publishing.frames import PublishFrames

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable

    from pika.channel import Channel

    from messaging.publishing.publisher_listener import PublisherListener

STABLE_SECONDS: Final = 10.0
"""A connection that lasted so long was a good one: the next attempt after it starts without delay."""


class Publisher:
    """One connection with one channel, kept up over a list of nodes.

    `size_limit` is the largest body that the broker takes, once it has refused a larger one. `node` is which
    of the addresses the present or last connection is to, counted from 0.

    Args:
        loop: The loop of this process; every method must be called on it.
        urls: AMQP addresses, tried in turn.
        client_name: What the broker shows for the connection.
        on_confirm: Given each delivery tag confirmed, and whether all lower ones are too; None: confirms off.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        urls: tuple[str, ...],
        *,
        client_name: str,
        on_confirm: Callable[[int, bool], None] | None = None,
    ) -> None:
        self._loop = loop
        self._parameters = parameters_of(urls, client_name=client_name)
        self._on_confirm = on_confirm
        self._listener: PublisherListener | None = None
        self._connection: BrokerConnection | None = None
        self._channel: Channel | None = None
        self._frames: PublishFrames | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._sent = 0
        self._attempt = 0
        self.node = -1
        self._up_since = 0.0
        self._closing = False
        self.ready = False
        self.blocked = False
        self.size_limit = NO_LIMIT

    def start(self, listener: PublisherListener) -> None:
        """Connect, and connect again whenever the connection is lost, until `stop`."""
        self._listener = listener
        self._connect()

    def stop(self) -> None:
        """Close the connection and stay away; what is unproven stays the listener's."""
        self._closing = True
        self._drop("stopping")

    def publish(self, events: Iterable[tuple[bytes, bytes]]) -> None:
        """Add events (properties, body) to what the next `flush` sends; call only while `ready`."""
        assert self._frames is not None
        for properties, body in events:
            self._frames.add(properties, body)

    def flush(self) -> int:
        """Hand what was published since the last flush to the transport, as one write; return how many."""
        if self._frames is None or self._connection is None or not self._frames.events:
            return 0
        events, data = self._frames.take()
        self._sent += events
        self._connection.send_frames(data)
        return events

    @property
    def last_tag(self) -> int:
        """The delivery tag of the event published last on this connection; 0 before the first."""
        return self._sent + (self._frames.events if self._frames is not None else 0)

    @property
    def can_publish(self) -> bool:
        """Whether the connection is up and the broker reads from it."""
        return self.ready and not self.blocked

    @property
    def buffered_bytes(self) -> int:
        """Bytes handed to the transport that the kernel has not taken yet."""
        return self._connection.unsent_bytes if self._connection is not None else 0

    def probe(self, callback: Callable[[int], None]) -> None:
        """Ask the broker something that it answers only after everything published before.

        Args:
            callback: Gets the ready deliveries in the events queue; never if the connection ends first.
        """
        self.flush()
        channel = self._channel
        assert channel is not None
        topology.probe(channel, lambda answer: callback(answer.method.message_count))

    def abort(self, reason: str) -> None:
        """Give up on the connection as it is and make a new one."""
        self._drop(reason)

    def _connect(self) -> None:
        self._attempt += 1
        self.node = (self.node + 1) % len(self._parameters)
        # First: pika may tell nobody of an error while it connects, and then only this goes on.
        self._timer = self._loop.call_later(ATTEMPT_SECONDS, self._drop, "it was not ready in time")
        self._connection = BrokerConnection(
            self._parameters[self.node],
            on_open_callback=self._on_open,
            on_open_error_callback=self._on_connection_lost,
            on_close_callback=self._on_connection_lost,
            custom_ioloop=self._loop,
        )

    def _while_present(self, callback: Callable[..., None]) -> Callable[..., None]:
        """Return *callback* for pika; it hears nothing more once the present connection was given up."""
        connection = self._connection

        def call(*arguments: Any) -> None:
            if connection is self._connection:
                callback(*arguments)

        return call

    def _on_open(self, connection: BrokerConnection) -> None:
        if connection is self._connection:
            connection.add_on_connection_blocked_callback(self._while_present(self._on_blocked))
            connection.add_on_connection_unblocked_callback(self._while_present(self._on_unblocked))
            connection.channel(on_open_callback=self._while_present(self._on_channel_open))

    def _on_channel_open(self, channel: Channel) -> None:
        self._channel = channel
        channel.add_on_close_callback(self._while_present(self._on_channel_closed))
        channel.add_on_return_callback(self._while_present(self._on_return))
        # Publishing to a missing exchange would cost a channel per try, so both ends are looked at first.
        on_queue_found = self._while_present(partial(self._on_queue_found, channel))
        on_exchange_found = self._while_present(lambda _answer: topology.probe(channel, on_queue_found))
        channel.exchange_declare(topology.EXCHANGE, passive=True, callback=on_exchange_found)

    def _on_queue_found(self, channel: Channel, answer: object) -> None:
        if self._on_confirm is None:
            self._on_channel_ready(answer)
        else:
            on_answer = self._while_present(self._on_confirmed)
            channel.confirm_delivery(on_answer, callback=self._while_present(self._on_channel_ready))

    def _on_channel_ready(self, _answer: object) -> None:
        assert self._connection is not None
        assert self._channel is not None
        assert self._listener is not None
        self._stop_timer()
        self._frames = PublishFrames(self._channel.channel_number, self._connection.params.frame_max)
        self._up_since = time.monotonic()
        self._sent = 0
        self.ready = True
        self.blocked = False
        logger().info("broker_connected", attempt=self._attempt)
        self._listener.on_broker_up()

    def _on_blocked(self, _connection: object, _method: object) -> None:
        logger().warning("broker_blocked", consequence="events are kept in the journal")
        self.blocked = True
        if self._listener is not None and self.ready:
            self._listener.on_broker_blocked()

    def _on_unblocked(self, _connection: object, _method: object) -> None:
        logger().info("broker_unblocked")
        self.blocked = False
        if self._listener is not None and self.ready:
            self._listener.on_broker_unblocked()

    def _on_return(self, _channel: object, method: Any, _properties: object, _body: bytes) -> None:
        self._drop(f"an event came back: {method.reply_text}; run `omctl setup`")

    def _on_confirmed(self, frame: Any) -> None:
        assert self._on_confirm is not None
        if isinstance(frame.method, spec.Basic.Ack):
            self._on_confirm(frame.method.delivery_tag, frame.method.multiple)
        else:
            self._drop("the broker has refused an event")

    def _on_channel_closed(self, _channel: object, reason: BaseException) -> None:
        self._drop(described(reason), size_limit_of(reason))

    def _on_connection_lost(self, connection: object, reason: BaseException | str) -> None:
        if connection is self._connection:
            self._lost(described(reason))

    def _drop(self, reason: str, size_limit: int = NO_LIMIT) -> None:
        """Leave the connection behind, in whatever state it is, and go on without it."""
        connection = self._connection
        self._lost(reason, size_limit)
        if connection is not None and not (connection.is_closing or connection.is_closed):
            connection.close()

    def _lost(self, reason: str, size_limit: int = NO_LIMIT) -> None:
        was_ready, self.ready = self.ready, False
        if was_ready:
            # Only a broker that starts anew may have another limit than the one that it has told.
            self.size_limit = size_limit
        self._connection = self._channel = self._frames = None
        self._stop_timer()
        if was_ready and time.monotonic() - self._up_since >= STABLE_SECONDS:
            self._attempt = 0
        if self._closing:
            return
        delay = delay_before(self._attempt + 1)
        logger().warning("broker_unavailable", reason=reason, retry_in_s=round(delay, 2))
        self._timer = self._loop.call_later(delay, self._connect)
        if was_ready and self._listener is not None:
            self._listener.on_broker_down()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
