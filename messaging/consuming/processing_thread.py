"""Work batches off on one thread, until it is left behind."""

from __future__ import annotations

import contextvars
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from messaging.backoff import delay_before
from messaging.errors import RetryLaterError
from messaging.log import logger

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Sequence

    from messaging.consuming.delivery import Delivery, Processor, Verdict


@dataclass(eq=False, slots=True)
class Batch:
    """Deliveries that are processed together.

    Args:
        deliveries: At least one.
        is_taken_away: Set on the loop when they are given to another thread: a report of this one is void.
    """

    deliveries: Sequence[Delivery]
    is_taken_away: bool = False


class ProcessingThread:
    """Takes batches from a queue that its successor goes on with.

    Args:
        batches: Guarded by *arrived*.
        arrived: Is notified of each batch and when the thread is left.
        processor: What a batch is for.
        report: Called on this thread with a batch and what becomes of it.
    """

    def __init__(
        self,
        batches: deque[Batch],
        arrived: threading.Condition,
        processor: Processor,
        report: Callable[[Batch, Verdict], None],
    ) -> None:
        self._batches = batches
        self._arrived = arrived
        self._processor = processor
        self._report = report
        self._is_left = threading.Event()
        # A daemon: a process that is told to stop does not wait for a database that never answers.
        # Its log lines carry what was bound for the process.
        run = contextvars.copy_context().run
        self._thread = threading.Thread(target=run, args=(self._run,), name="processing", daemon=True)
        self._working_since: float | None = None
        self.batch: Batch | None = None
        self._left_at: float | None = None

    def start(self) -> None:
        """Start it."""
        self._thread.start()

    def leave(self) -> None:
        """Have it end as soon as it can; it takes no further batch."""
        self._is_left.set()
        self._left_at = time.monotonic()

    @property
    def is_alive(self) -> bool:
        """Whether it still runs."""
        return self._thread.is_alive()

    def left_for(self) -> float:
        """Return how many seconds ago it was left; 0 of one that was not."""
        return 0.0 if self._left_at is None else time.monotonic() - self._left_at

    def working_for(self) -> float:
        """Return for how many seconds the processor has had this batch; 0 while it is held on purpose."""
        since = self._working_since
        return 0.0 if since is None else time.monotonic() - since

    def _run(self) -> None:
        while (batch := self._next()) is not None:
            verdict = self._process_at_last(batch.deliveries)
            self._working_since = None
            if verdict is None or self._is_left.is_set():
                # What is durable meanwhile will be known by its key when it is delivered again.
                return
            self._report(batch, verdict)

    def _next(self) -> Batch | None:
        with self._arrived:
            self.batch = None
            self._arrived.wait_for(lambda: self._batches or self._is_left.is_set())
            if self._is_left.is_set():
                return None
            self._working_since = time.monotonic()
            self.batch = self._batches.popleft()
            self._processor.expect(self._batches[0].deliveries if self._batches else ())
            return self.batch

    def _process_at_last(self, deliveries: Sequence[Delivery]) -> Verdict | None:
        """Process the batch, however long it is held; None when the thread is left meanwhile."""
        attempt = 1
        while not self._is_left.is_set():
            self._working_since = time.monotonic()
            try:
                return self._processor.process(deliveries)
            except RetryLaterError as error:
                attempt += 1
                delay = max(error.delay, delay_before(attempt))
                if not self._is_left.is_set():
                    logger().warning(
                        "deliveries_held",
                        deliveries=len(deliveries),
                        reason=str(error),
                        retry_in_s=round(delay, 2),
                    )
            except Exception:  # noqa: BLE001  # the outermost loop: a bug must not lose the batch, nor end the consumer
                attempt += 1
                delay = delay_before(attempt)
                logger().exception("deliveries_held", deliveries=len(deliveries), retry_in_s=round(delay, 2))
            self._working_since = None
            self._is_left.wait(delay)
        return None
