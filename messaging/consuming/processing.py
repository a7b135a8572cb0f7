"""Process batches one after another, on one thread that lives as long as the process.

While the thread waits for the database, the loop can answer heartbeats and receive deliveries. The thread
passes its results to the loop, because only the loop may use the channel. When a connection is lost, the
waiting batches and the result of the batch in progress are dropped. If the broker redelivers committed
events, their keys identify them as duplicates. A batch that hangs ends the process (messaging/process.py).
"""

import asyncio
import contextvars
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

from messaging.clock import delay_before
from messaging.consuming.delivery import Delivery, Processor, Settlement
from messaging.errors import RetryLaterError
from messaging.log import logger

_Batch = tuple[Sequence[Delivery], int]
"""The deliveries of a batch, and the number of the connection on which they arrived."""


class Processing:
    """Processes the batches of the current connection on its own thread. Call all methods on the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, processor: Processor) -> None:
        self._loop = loop
        self._processor = processor
        self._on_processed: Callable[[Sequence[Delivery], Settlement], None] | None = None
        # This condition guards the batches and the current connection's number, which `close` sets to -1.
        self._changed = threading.Condition()
        self._batches: deque[_Batch] = deque()
        self._connection = 0
        self._unsettled = 0
        # A daemon thread lets the process exit even if a database never answers. The thread runs in a copy of
        # this context, so that its log lines contain the name of the process.
        run = contextvars.copy_context().run
        self._thread = threading.Thread(target=run, args=(self._run,), name="processing", daemon=True)

    @property
    def is_idle(self) -> bool:
        """Whether all batches of the current connection have been processed."""
        return self._unsettled == 0

    def connect(self, on_processed: Callable[[Sequence[Delivery], Settlement], None]) -> None:
        """Serve a new connection; *on_processed* is called on the loop with each batch and its settlement."""
        self._on_processed = on_processed
        if not self._thread.ident:
            self._thread.start()

    def submit(self, deliveries: Sequence[Delivery]) -> None:
        """Queue a batch of the current connection behind all earlier batches."""
        self._unsettled += 1
        with self._changed:
            self._batches.append((deliveries, self._connection))
            self._changed.notify()

    def abandon(self) -> None:
        """Drop the batches of the lost connection, and do not retry the batch in progress."""
        self._drop(self._connection + 1)

    def close(self) -> None:
        """Let the thread end after the batch in progress."""
        self._drop(-1)

    def _drop(self, connection: int) -> None:
        self._unsettled = 0
        with self._changed:
            self._connection = connection
            self._batches.clear()
            self._changed.notify_all()

    def _run(self) -> None:
        try:
            while (batch := self._next()) is not None:
                settlement = self._process(*batch)
                if settlement is not None:
                    # If the loop is closed, so is the connection, and the broker redelivers the batch.
                    with suppress(RuntimeError):
                        self._loop.call_soon_threadsafe(self._report, *batch, settlement)
        except BaseException:  # noqa: BLE001  # without this thread the process would hold its events for ever
            logger().exception("processing_ended", consequence="the process ends; its events are redelivered")
            sys.stdout.flush()
            os._exit(1)

    def _next(self) -> _Batch | None:
        with self._changed:
            self._changed.wait_for(lambda: self._batches or self._connection < 0)
            if not self._batches:
                return None
            batch = self._batches.popleft()
            self._processor.prefetch(self._batches[0][0] if self._batches else ())
            return batch

    def _process(self, deliveries: Sequence[Delivery], connection: int) -> Settlement | None:
        """Process a batch, retrying until it succeeds; return None if the connection is lost first."""
        attempt, held = 1, len(deliveries)
        while connection == self._connection:
            attempt += 1
            delay = delay_before(attempt)
            try:
                return self._processor.process(deliveries)
            except RetryLaterError as error:
                delay = max(error.delay, delay)
                reason, retry_in_s = str(error), round(delay, 2)
                logger().warning("deliveries_held", deliveries=held, reason=reason, retry_in_s=retry_in_s)
            except Exception:  # noqa: BLE001  # the outermost loop: a bug must not lose the batch, nor end the consumer
                logger().exception("deliveries_held", deliveries=held, retry_in_s=round(delay, 2))
            with self._changed:
                self._changed.wait_for(lambda: connection != self._connection, delay)
        return None

    def _report(self, deliveries: Sequence[Delivery], connection: int, settlement: Settlement) -> None:
        if connection == self._connection and self._on_processed is not None:
            self._unsettled -= 1
            self._on_processed(deliveries, settlement)
