"""Run a consumer's batches one after the other on a thread of their own.

The loop stays free to answer heartbeats and to receive the next deliveries while the database works. What
comes back goes through the loop again, which alone touches the channel.
"""

from __future__ import annotations

import contextvars
import queue
import threading
import time
from typing import TYPE_CHECKING

from messaging.backoff import delay_before
from messaging.errors import RetryLaterError
from messaging.log import logger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from messaging.delivery import Delivery, Processor


class Processing:
    """One connection's batches, in order; a new connection gets a new one.

    Args:
        processor: What a batch is for; called again with the same batch while it raises RetryLaterError.
        on_processed: Called on this object's thread with the batch and the tags to dead-letter.
    """

    def __init__(
        self, processor: Processor, on_processed: Callable[[Sequence[Delivery], frozenset[int]], None]
    ) -> None:
        self._processor = processor
        self._on_processed = on_processed
        self._batches: queue.SimpleQueue[Sequence[Delivery] | None] = queue.SimpleQueue()
        self._abandoned = threading.Event()
        # A daemon: a process that is told to stop does not wait for a database that never answers.
        # Its log lines carry what was bound for the process.
        run = contextvars.copy_context().run
        self._thread = threading.Thread(target=run, args=(self._run,), name="processing", daemon=True)
        self.progressed_at = time.monotonic()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def submit(self, batch: Sequence[Delivery]) -> None:
        """Queue a batch behind those that are not done yet."""
        self._batches.put(batch)

    def abandon(self) -> None:
        """Start nothing more and retry nothing more; what is being processed is not reported."""
        self._abandoned.set()
        self._batches.put(None)

    def _run(self) -> None:
        while (batch := self._batches.get()) is not None and not self._abandoned.is_set():
            self.progressed_at = time.monotonic()
            rejected = self._process_at_last(batch)
            if rejected is None or self._abandoned.is_set():
                # What is durable meanwhile will be known by its key when it is delivered again.
                return
            self.progressed_at = time.monotonic()
            self._on_processed(batch, rejected)

    def _process_at_last(self, batch: Sequence[Delivery]) -> frozenset[int] | None:
        """Process the batch, however long it takes; None when the connection is gone meanwhile."""
        attempt = 1
        while not self._abandoned.is_set():
            try:
                return self._processor.process(batch)
            except RetryLaterError as error:
                attempt += 1
                delay = max(error.delay, delay_before(attempt))
                logger().warning(
                    "deliveries_held", deliveries=len(batch), reason=str(error), retry_in_s=round(delay, 2)
                )
            except Exception:  # noqa: BLE001  # the outermost loop: a bug must not lose the batch, nor end the consumer
                attempt += 1
                delay = delay_before(attempt)
                logger().exception("deliveries_held", deliveries=len(batch), retry_in_s=round(delay, 2))
            self._abandoned.wait(delay)
            # Whoever waits for the database on purpose is not stuck.
            self.progressed_at = time.monotonic()
        return None
