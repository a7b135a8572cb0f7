"""Consume over one connection until it is lost: collect batches, have them processed, and settle them.

Only this module settles deliveries. A delivery has these states:

1. *pending*: it was received, and its batch is not full yet;
2. *submitted*: it was passed to the processing thread, in the order of arrival;
3. *delayed*: its handler failed, and it is submitted again, alone, after a delay;
4. *settled*: its effect is durable, and it was rejected, or acknowledged together with the tags before it.

Delivery tags increase within the channel, and batches are formed and processed in that order. So an
acknowledgement of several tags never covers a delivery that is delayed or whose batch is not durable.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from pika.channel import Channel
from pika.connection import Parameters
from pika.spec import BasicProperties

from messaging.broker import BrokerConnection, DeliveryReader, Receiver, describe
from messaging.consuming.delivery import Delivery, Settlement, read_delivery, read_encoded_delivery
from messaging.consuming.processing import Processing
from messaging.consuming.settling import Acknowledger, DelayedRetries
from messaging.log import logger
from messaging.topology import DEAD_LETTER_RECORDS, EVENTS_QUEUE, UNROUTED

QUEUES = (EVENTS_QUEUE, UNROUTED, DEAD_LETTER_RECORDS)

PREFETCH_BATCHES = 3
"""Number of batches to prefetch: one is being processed, one waits for its turn, one is being received."""

MAX_DELAYED_BATCHES = 2
"""How many batches of prefetched deliveries may wait for a retry; the rest is for other events."""


class Subscription:
    """Consumes all queues over one connection and channel. Call all methods except `__init__` on *loop*.

    *processing* processes batches of at most *batch_events*. After a batch that was at least half full, the
    first delivery of the next batch waits up to *batch_seconds* for more. After a smaller batch, the next
    batch consists of what arrives in one turn of the loop. *on_up* is called once every queue has a
    consumer. *on_lost* is called once, with the reason, when the subscription has ended.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        processing: Processing,
        *,
        batch_events: int,
        batch_seconds: float,
        on_up: Callable[[], None],
        on_lost: Callable[[str], None],
    ) -> None:
        self._loop = loop
        self._processing = processing
        self._batch_events = batch_events
        self._batch_seconds = batch_seconds
        self._on_up = on_up
        self._on_lost = on_lost
        most = MAX_DELAYED_BATCHES * batch_events
        self._retries = DelayedRetries(loop, most, lambda delivery: processing.submit([delivery]))
        tags, enough = self._retries.open_tags, (batch_events + 1) // 2
        self._acknowledger = Acknowledger(loop, enough, tags, self._acknowledge)
        self._connection: BrokerConnection | None = None
        self._channel: Channel | None = None
        self._pending: list[Delivery] = []
        self._timer: asyncio.TimerHandle | None = None
        self._receivers: dict[bytes, Receiver] = {}
        self._consumer_tags: list[str] = []
        self._is_busy = self._is_lost = self._is_stopping = False
        self.received = self._settled = 0

    def open(self, parameters: Parameters) -> None:
        """Start connecting and consuming; *on_up* or *on_lost* reports the result."""
        self._processing.connect(self._settle)
        self._connection = BrokerConnection(
            parameters,
            on_open_callback=self._on_open,
            on_open_error_callback=lambda _connection, reason: self._lose(describe(reason)),
            on_close_callback=lambda _connection, reason: self._lose(describe(reason)),
            custom_ioloop=self._loop,
        )

    def stop(self) -> None:
        """Stop receiving, settle the received deliveries, and close; *on_lost* is called at the end."""
        self._is_stopping = True
        if self._channel is None or not self._channel.is_open:
            self.drop("stopping")
            return
        # pika requeues deliveries that still arrive for a cancelled consumer.
        self._receivers.clear()
        for consumer_tag in self._consumer_tags:
            self._channel.basic_cancel(consumer_tag)
        self._submit()
        self._close_if_drained()

    def drop(self, reason: str) -> None:
        """Abort the connection, regardless of its state; the broker redelivers its unsettled deliveries."""
        connection = self._connection
        self._lose(reason)
        # pika cannot abort a connection that is being opened: `_on_open` closes it, or its time limit does.
        if connection is not None and connection.is_open:
            connection.close()

    @property
    def is_idle(self) -> bool:
        """Whether every received delivery is settled or waits for a retry, which can take minutes."""
        return not self._pending and self._processing.is_idle

    def count_ready(self, callback: Callable[[int], None]) -> None:
        """Query the number of ready events, and call *callback* with it unless the connection ends first."""
        if self._channel is not None and self._channel.is_open:
            self._channel.queue_declare(
                EVENTS_QUEUE, passive=True, callback=lambda answer: callback(answer.method.message_count)
            )

    def _on_open(self, connection: BrokerConnection) -> None:
        if self._is_lost:
            connection.close()
        else:
            connection.channel(on_open_callback=self._on_channel_open)

    def _on_channel_open(self, channel: Channel) -> None:
        self._channel = channel
        channel.connection.deliveries = DeliveryReader(channel.channel_number, self._receivers)
        channel.add_on_close_callback(lambda _channel, reason: self.drop(describe(reason)))
        channel.add_on_cancel_callback(lambda _frame: self.drop("a queue was deleted; run `omctl setup`"))
        prefetch = PREFETCH_BATCHES * self._batch_events
        channel.basic_qos(prefetch_count=prefetch, callback=lambda _answer: self._consume(channel))

    def _consume(self, channel: Channel) -> None:
        if self._is_lost:
            # pika still calls this for a connection that was dropped.
            return
        for name in QUEUES:
            tag = channel.basic_consume(name, self._decoded_receiver(name), callback=self._on_consuming)
            self._receivers[tag.encode()] = self._encoded_receiver(name)

    def _on_consuming(self, answer: Any) -> None:
        self._consumer_tags.append(answer.method.consumer_tag)
        if len(self._consumer_tags) == len(QUEUES) and not self._is_lost:
            self._on_up()

    def _encoded_receiver(self, name: str) -> Receiver:
        return lambda tag, properties, body: self._collect(read_encoded_delivery(name, tag, properties, body))

    def _decoded_receiver(self, name: str) -> Callable[[Channel, Any, BasicProperties, bytes], None]:
        """Return a receiver for deliveries that pika decodes, such as those with a body of several frames."""
        return lambda _channel, method, properties, body: self._collect(
            read_delivery(name, method.delivery_tag, properties, body)
        )

    def _collect(self, delivery: Delivery) -> None:
        if self._is_lost:
            return
        self.received += 1
        if delivery.is_suspect:
            # Submit each suspect in its own batch, so that it is acknowledged as soon as it is processed.
            self._submit()
            self._processing.submit([delivery])
            return
        self._pending.append(delivery)
        if len(self._pending) >= self._batch_events or self._is_stopping:
            self._submit()
        elif len(self._pending) == 1:
            wait = self._batch_seconds if self._is_busy else 0.0
            self._timer = self._loop.call_later(wait, self._on_batch_due)

    def _on_batch_due(self) -> None:
        """Submit the pending deliveries. If a batch is in progress, keep them, so that more can join them."""
        self._timer = None
        if self._processing.is_idle:
            self._submit()

    def _submit(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._pending:
            self._is_busy = 2 * len(self._pending) >= self._batch_events
            self._processing.submit(self._pending)
            self._pending = []

    def _settle(self, batch: Sequence[Delivery], settlement: Settlement) -> None:
        if self._is_lost or self._channel is None or not self._channel.is_open:
            return
        settled = [delivery.tag for delivery in batch if delivery.tag not in settlement.retries]
        self._retries.add(batch, settlement.retries)
        for tag in sorted(settlement.rejected):
            self._channel.basic_reject(tag, requeue=False)
        self._acknowledger.add([tag for tag in settled if tag not in settlement.rejected])
        self._settled += len(settled)
        if self._pending and self._timer is None and self._processing.is_idle:
            self._submit()
        self._close_if_drained()

    def _close_if_drained(self) -> None:
        """When stopping, close once all batches are processed; the broker redelivers delayed deliveries."""
        if self._is_stopping and self.is_idle:
            self._acknowledger.flush()
            self.drop("stopped")

    def _acknowledge(self, tag: int, multiple: bool) -> None:  # noqa: FBT001  # as the acknowledger calls it
        if self._channel is not None and self._channel.is_open:
            self._channel.basic_ack(tag, multiple=multiple)

    def _lose(self, reason: str) -> None:
        if self._is_lost:
            return
        self._is_lost = True
        self._pending.clear()
        if self._timer is not None:
            self._timer.cancel()
        self._retries.stop()
        self._acknowledger.forget()
        self._processing.abandon()
        logger().info("subscription_ended", reason=reason, received=self.received, settled=self._settled)
        self._on_lost(reason)
