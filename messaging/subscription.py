"""Consume through one connection until it is lost: collect batches, have them processed, settle them.

The only place that settles a delivery. The states of a delivery here:

1. *pending*: received, its batch not full yet;
2. *submitted*: with the processing thread, in the order of arrival;
3. *settled*: its batch is durable; rejected by itself or acknowledged with all before it.

Delivery tags rise through the channel, batches are cut and processed in that order, so one multiple
acknowledgement never covers a delivery of a batch that is not durable.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from messaging.broker_connection import BrokerConnection
from messaging.connection import described
from messaging.delivery import decoded_delivery, encoded_delivery
from messaging.delivery_frames import DeliveryReader
from messaging.log import logger
from messaging.processing import Processing
from messaging.topology import EVENTS_QUEUE, UNROUTED

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from pika.channel import Channel
    from pika.connection import Parameters
    from pika.spec import BasicProperties

    from messaging.delivery import Delivery, Processor
    from messaging.delivery_frames import Receiver

QUEUES = (EVENTS_QUEUE, UNROUTED)

PREFETCH_BATCHES = 3
"""One in the database, one waiting for it, one on the way."""


class Subscription:
    """One connection, one channel, a consumer on each queue.

    Args:
        loop: Every method but `__init__` is called on it.
        processor: What deliveries are for.
        batch_events: Most deliveries of a batch.
        batch_seconds: How long the first delivery of a batch waits for more.
        on_up: Called when both consumers are in place.
        on_lost: Called once, with the reason, when nothing more will come of this subscription.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        processor: Processor,
        *,
        batch_events: int,
        batch_seconds: float,
        on_up: Callable[[], None],
        on_lost: Callable[[str], None],
    ) -> None:
        self._loop = loop
        self._batch_events = batch_events
        self._batch_seconds = batch_seconds
        self._on_up = on_up
        self._on_lost = on_lost
        self._processing = Processing(processor, self._on_processed)
        self._connection: BrokerConnection | None = None
        self._channel: Channel | None = None
        self._pending: list[Delivery] = []
        self._timer: asyncio.TimerHandle | None = None
        self._submitted = 0
        self._receivers: dict[bytes, Receiver] = {}
        self._consuming: list[str] = []
        self._is_lost = False
        self._is_stopping = False
        self.received = 0
        self._settled = 0
        self._settled_at = time.monotonic()

    def open(self, parameters: Parameters) -> None:
        """Connect and consume; what becomes of it is told to on_up and on_lost."""
        self._processing.start()
        self._connection = BrokerConnection(
            parameters,
            on_open_callback=self._on_open,
            on_open_error_callback=lambda _connection, reason: self._lose(described(reason)),
            on_close_callback=lambda _connection, reason: self._lose(described(reason)),
            custom_ioloop=self._loop,
        )

    def stop(self) -> None:
        """Take no more deliveries, settle those received, close; ends in on_lost."""
        self._is_stopping = True
        if self._channel is None or not self._channel.is_open:
            self.drop("stopping")
            return
        # What still comes for a cancelled consumer is pika's, which sends it back to the queue.
        self._receivers.clear()
        for consumer_tag in self._consuming:
            self._channel.basic_cancel(consumer_tag)
        self._submit()
        self._close_if_drained()

    def drop(self, reason: str) -> None:
        """Leave the connection behind in whatever state it is; the broker delivers again."""
        connection = self._connection
        self._lose(reason)
        # pika cannot give up on one that is being opened: `_on_open` closes it, or its time limit does.
        if connection is not None and connection.is_open:
            connection.close()

    @property
    def is_idle(self) -> bool:
        """Whether everything received is settled."""
        return self._settled == self.received

    def stalled_for(self) -> float:
        """Return for how many seconds deliveries have been held without any progress."""
        if self.is_idle:
            return 0.0
        return time.monotonic() - max(self._settled_at, self._processing.progressed_at)

    def count_ready(self, callback: Callable[[int], None]) -> None:
        """Ask how many events are ready for a consumer; no answer when the connection ends first."""
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
        channel.add_on_close_callback(lambda _channel, reason: self.drop(described(reason)))
        channel.add_on_cancel_callback(lambda _frame: self.drop("a queue was deleted; run `omctl setup`"))
        prefetch = PREFETCH_BATCHES * self._batch_events
        channel.basic_qos(prefetch_count=prefetch, callback=lambda _answer: self._consume(channel))

    def _consume(self, channel: Channel) -> None:
        for name in QUEUES:
            tag = channel.basic_consume(name, self._decoded_receiver(name), callback=self._on_consuming)
            self._receivers[tag.encode()] = self._receiver(name)

    def _on_consuming(self, answer: Any) -> None:
        self._consuming.append(answer.method.consumer_tag)
        if len(self._consuming) == len(QUEUES):
            self._on_up()

    def _receiver(self, name: str) -> Receiver:
        return lambda tag, properties, body: self._collect(encoded_delivery(name, tag, properties, body))

    def _decoded_receiver(self, name: str) -> Callable[[Channel, Any, BasicProperties, bytes], None]:
        """Return who takes what pika has read itself, such as a body in several frames."""

        def receive(_channel: Channel, method: Any, properties: BasicProperties, body: bytes) -> None:
            self._collect(decoded_delivery(name, method.delivery_tag, properties, body))

        return receive

    def _collect(self, delivery: Delivery) -> None:
        if self._is_lost:
            return
        if self.is_idle:
            # Waiting for events is no standstill.
            self._settled_at = time.monotonic()
        self.received += 1
        self._pending.append(delivery)
        if len(self._pending) >= self._batch_events or self._is_stopping:
            self._submit()
        elif len(self._pending) == 1:
            self._timer = self._loop.call_later(self._batch_seconds, self._on_batch_due)

    def _on_batch_due(self) -> None:
        """Submit what there is, unless a batch is in work: then more may join until it is done."""
        self._timer = None
        if not self._submitted:
            self._submit()

    def _submit(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._pending:
            self._submitted += 1
            self._processing.submit(self._pending)
            self._pending = []

    def _on_processed(self, batch: Sequence[Delivery], rejected: frozenset[int]) -> None:
        """Carry the outcome from the processing thread to the loop."""
        # A loop that is closed has given up on the connection, and the broker delivers again.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(lambda: self._settle(batch, rejected))

    def _settle(self, batch: Sequence[Delivery], rejected: frozenset[int]) -> None:
        if self._is_lost or self._channel is None or not self._channel.is_open:
            return
        for tag in sorted(rejected):
            self._channel.basic_reject(tag, requeue=False)
        # The last tag must be unsettled: a multiple acknowledgement up to a settled tag is an error.
        last = max((each.tag for each in batch if each.tag not in rejected), default=None)
        if last is not None:
            self._channel.basic_ack(last, multiple=True)
        self._submitted -= 1
        self._settled += len(batch)
        self._settled_at = time.monotonic()
        if self._pending and self._timer is None and not self._submitted:
            self._submit()
        self._close_if_drained()

    def _close_if_drained(self) -> None:
        if self._is_stopping and self.is_idle:
            self.drop("stopped")

    def _lose(self, reason: str) -> None:
        if self._is_lost:
            return
        self._is_lost = True
        self._processing.abandon()
        logger().info("subscription_ended", reason=reason, received=self.received, settled=self._settled)
        self._on_lost(reason)
