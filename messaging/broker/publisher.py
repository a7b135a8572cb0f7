"""Publish events on the process's loop, and detect immediately when publishing stops working.

No method blocks. The caller keeps every event until the event is proven (webhook_api/relay). There is at most
one connection and one timer. If there is no connection, the publisher opens one, and aborts it if it is not
ready in time. Callbacks of an aborted connection are ignored: they do not concern the next connection.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Any, Final

from pika import spec
from pika.channel import Channel

from messaging.broker.addresses import NO_LIMIT, describe, parameters_of, size_limit_of
from messaging.broker.connection import BrokerConnection
from messaging.broker.frames import PublishFrames
from messaging.clock import delay_before
from messaging.log import logger
from messaging.topology import EVENTS_QUEUE, EXCHANGE

ATTEMPT_SECONDS: Final = 30.0
"""If a connection is not ready this long after the attempt began, the next attempt starts.

pika's own limits are shorter, so that it can try every address of a host name: CONNECT_SECONDS for each, and
twice that for the handshake. They cover neither an open connection nor a socket error that pika ignores.
"""

STABLE_SECONDS: Final = 10.0
"""If a connection that lasted this long is lost, the next attempt starts without delay."""


class BrokerState(StrEnum):
    """Whether events can be published to the broker."""

    AWAY = "away"
    """No connection is ready. Published events that are not proven might be lost."""
    UP = "up"
    """The connection is ready, and published events reach the exchange."""
    BLOCKED = "blocked"
    """The connection is open, but the broker has an alarm and reads nothing until the alarm ends."""


class Publisher:
    """Keeps a connection with one channel to one of several nodes. Use it only on its loop.

    `size_limit` is the largest body that the broker accepts, known once it has refused a larger one. `node`
    is the index of the address of the current or last connection. *on_confirm* receives each confirmed
    delivery tag, and whether the confirm covers all lower tags.
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
        self._on_change: Callable[[BrokerState], None] = lambda _before: None
        self._connection: BrokerConnection | None = None
        self._channel: Channel | None = None
        self._frames: PublishFrames | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._sent = self._attempt = 0
        self._up_since = 0.0
        self._is_stopped = self._is_blocked = False
        self.node = -1
        self.state = BrokerState.AWAY
        self.size_limit = NO_LIMIT

    def start(self, on_change: Callable[[BrokerState], None]) -> None:
        """Stay connected until `stop` is called; call *on_change* with the old state after each change."""
        self._on_change = on_change
        self._connect()

    def stop(self) -> None:
        """Close the connection and do not open another; the caller keeps the unproven events."""
        self._is_stopped = True
        self.abort("stopping")

    def publish(self, events: Iterable[tuple[bytes, bytes]]) -> None:
        """Add events, each as properties and body, for the next `flush`. The broker must not be away."""
        assert self._frames is not None
        for properties, body in events:
            self._frames.add(properties, body)

    def flush(self) -> int:
        """Write the events published since the last flush to the transport; return how many there were."""
        if self._frames is None or self._connection is None or not self._frames.events:
            return 0
        events, data = self._frames.take()
        self._sent += events
        self._connection.send_frames(data)
        return events

    @property
    def last_tag(self) -> int:
        """The delivery tag of the last event published on this connection; 0 if there is none."""
        return self._sent + (self._frames.events if self._frames is not None else 0)

    @property
    def buffered_bytes(self) -> int:
        """Number of bytes of published events that the kernel has not accepted yet."""
        return self._connection.unsent_bytes if self._connection is not None else 0

    def probe(self, callback: Callable[[int], None]) -> None:
        """Send a method that the broker answers only after it has processed all earlier publishes.

        *callback* is called with the number of ready events, unless the connection ends first.
        """
        self.flush()
        assert self._channel is not None
        _probe(self._channel, lambda answer: callback(answer.method.message_count))

    def abort(self, reason: str, size_limit: int = NO_LIMIT) -> None:
        """Abort the connection, regardless of its state, and open a new one."""
        connection = self._connection
        self._lose(reason, size_limit)
        if connection is not None and not (connection.is_closing or connection.is_closed):
            connection.close()

    def _connect(self) -> None:
        self._attempt += 1
        self._is_blocked = False
        self.node = (self.node + 1) % len(self._parameters)
        # Start the timer first: if pika ignores an error while connecting, only the timer detects it.
        self._timer = self._loop.call_later(ATTEMPT_SECONDS, self.abort, "connection was not ready in time")
        self._connection = BrokerConnection(
            self._parameters[self.node],
            on_open_callback=self._on_open,
            on_open_error_callback=self._on_connection_lost,
            on_close_callback=self._on_connection_lost,
            custom_ioloop=self._loop,
        )

    def _while_present(self, callback: Callable[..., None]) -> Callable[..., None]:
        """Wrap *callback* so that pika's calls are ignored once this connection is lost or aborted."""
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
        channel.add_on_close_callback(
            self._while_present(lambda _channel, reason: self.abort(describe(reason), size_limit_of(reason)))
        )
        channel.add_on_return_callback(self._while_present(self._on_return))
        # Check the exchange and the queue first, because a publish to a missing exchange closes the channel.
        on_exchange_found = self._while_present(
            lambda _answer: _probe(channel, self._while_present(self._on_queue_found))
        )
        channel.exchange_declare(EXCHANGE, passive=True, callback=on_exchange_found)

    def _on_queue_found(self, answer: object) -> None:
        if self._on_confirm is None:
            self._on_channel_ready(answer)
        else:
            assert self._channel is not None
            on_ready = self._while_present(self._on_channel_ready)
            self._channel.confirm_delivery(self._while_present(self._on_confirmed), callback=on_ready)

    def _on_channel_ready(self, _answer: object) -> None:
        assert self._connection is not None
        assert self._channel is not None
        self._stop_timer()
        self._frames = PublishFrames(self._channel.channel_number, self._connection.params.frame_max)
        self._up_since = time.monotonic()
        self._sent = 0
        logger().info("broker_connected", attempt=self._attempt)
        self._change(BrokerState.UP)
        if self._is_blocked:
            self._on_blocked(None, None)

    def _on_blocked(self, _connection: object, _method: object) -> None:
        # Remember the alarm, because the broker can report it before the channel is ready.
        self._is_blocked = True
        if self.state is BrokerState.UP:
            logger().warning("broker_blocked", consequence="events are kept in the journal")
            self._change(BrokerState.BLOCKED)

    def _on_unblocked(self, _connection: object, _method: object) -> None:
        self._is_blocked = False
        if self.state is BrokerState.BLOCKED:
            logger().info("broker_unblocked")
            self._change(BrokerState.UP)

    def _on_return(self, _channel: object, method: Any, _properties: object, _body: bytes) -> None:
        self.abort(f"an event was returned: {method.reply_text}; run `omctl setup`")

    def _on_confirmed(self, frame: Any) -> None:
        assert self._on_confirm is not None
        if isinstance(frame.method, spec.Basic.Ack):
            self._on_confirm(frame.method.delivery_tag, frame.method.multiple)
        else:
            self.abort("the broker has refused an event")

    def _on_connection_lost(self, connection: object, reason: BaseException | str) -> None:
        if connection is self._connection:
            self._lose(describe(reason))

    def _lose(self, reason: str, size_limit: int = NO_LIMIT) -> None:
        was_ready = self.state is not BrokerState.AWAY
        if was_ready:
            # Replace the known limit, because the broker might have been restarted with a different one.
            self.size_limit = size_limit
        self._connection = self._channel = self._frames = None
        self._stop_timer()
        if was_ready and time.monotonic() - self._up_since >= STABLE_SECONDS:
            self._attempt = 0
        if self._is_stopped:
            self.state = BrokerState.AWAY
            return
        delay = delay_before(self._attempt + 1)
        logger().warning("broker_unavailable", reason=reason, retry_in_s=round(delay, 2))
        self._timer = self._loop.call_later(delay, self._connect)
        self._change(BrokerState.AWAY)

    def _change(self, state: BrokerState) -> None:
        before, self.state = self.state, state
        if state is not before:
            self._on_change(before)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _probe(channel: Channel, callback: Callable[[Any], None]) -> None:
    """Query the events queue without creating it. If it is missing, the broker closes the channel (404)."""
    channel.queue_declare(EVENTS_QUEUE, passive=True, callback=callback)
