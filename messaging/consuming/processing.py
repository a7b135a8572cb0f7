"""Run a consumer's batches one after the other on a thread of their own.

The loop stays free to answer heartbeats and to receive the next deliveries while the database works. What
comes back goes through the loop again, which alone touches the channel.

A batch that outlasts its time is taken from its thread, which cannot be ended but can be left behind. Its
deliveries stay where they are, unacknowledged, so that the broker counts nothing against them; a new
thread tries each of them alone, and the one that hangs again is known.
"""

from __future__ import annotations

import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from messaging.consuming.processing_thread import Batch, ProcessingThread
from messaging.log import logger

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from messaging.consuming.delivery import Delivery, Processor, Verdict


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """How long a batch may take, holding for a database that is away not counted.

    Args:
        batch_seconds: Any batch; past it, its deliveries are tried apart.
        alone_seconds: A delivery that is tried alone for it.
    """

    batch_seconds: float
    alone_seconds: float

    @property
    def for_one_event(self) -> float:
        """For how long one event that hangs may hold all others."""
        return self.batch_seconds + self.alone_seconds

    def limit_of(self, batch: Sequence[Delivery]) -> float:
        """Return how long *batch* may take.

        One that hung twice is not opened again: what takes time with it then is the database.
        """
        return self.alone_seconds if batch[0].hangs == 1 else self.batch_seconds


def apart(batch: Sequence[Delivery]) -> list[Batch]:
    """Return each delivery of a batch that outlasted its time as a batch of its own."""
    return [Batch([replace(each, hangs=each.hangs + 1)]) for each in batch]


class Processing:
    """One connection's batches, in order; a new connection gets a new one.

    Args:
        loop: Every method is called on it.
        processor: What a batch is for; called again with the same batch while it raises RetryLaterError.
        on_processed: Called on the loop with the batch and what becomes of it.
        limits: How long a batch may take.
        left_behind: Gets the threads that were left behind.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        processor: Processor,
        on_processed: Callable[[Sequence[Delivery], Verdict], None],
        *,
        limits: TimeLimits,
        left_behind: list[ProcessingThread],
    ) -> None:
        self._loop = loop
        self._processor = processor
        self._on_processed = on_processed
        self._limits = limits
        self._left_behind = left_behind
        self._batches: deque[Batch] = deque()
        self._arrived = threading.Condition()
        self._thread = self._new_thread()
        self._unsettled = 0

    @property
    def is_idle(self) -> bool:
        """Whether every batch is done."""
        return self._unsettled == 0

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def submit(self, batch: Sequence[Delivery]) -> None:
        """Queue a batch behind those that are not done yet."""
        self._unsettled += 1
        with self._arrived:
            self._batches.append(Batch(batch))
            self._arrived.notify()

    def abandon(self) -> None:
        """Start nothing more and retry nothing more; what is being processed is not reported."""
        self._leave_thread()
        if self._thread.batch is not None:
            self._processor.abandon()

    def replace_overdue_thread(self) -> None:
        """Take the batch that outlasts its time from its thread, and go on with another thread."""
        batch = self._take_overdue_batch()
        if batch is None:
            return
        is_at_fault = self._processor.abandon()
        _log_overdue(batch, self._thread.working_for(), is_at_fault=is_at_fault)
        batches = apart(batch.deliveries) if is_at_fault else [Batch(batch.deliveries)]
        self._unsettled += len(batches) - 1
        self._batches.extendleft(reversed(batches))
        self._thread = self._new_thread()
        self._thread.start()

    def _take_overdue_batch(self) -> Batch | None:
        """Take the batch that outlasts its time from its thread, and leave the thread.

        Both under the lock, without which the thread takes no batch: should it come back with this one just
        now, it would otherwise take the next one along.
        """
        with self._arrived:
            batch = self._thread.batch
            if batch is None or self._thread.working_for() <= self._limits.limit_of(batch.deliveries):
                return None
            # Should its thread still come back with it, nobody takes its word: it is done again.
            batch.is_taken_away = True
            self._leave_thread()
            return batch

    def _leave_thread(self) -> None:
        with self._arrived:
            self._thread.leave()
            self._arrived.notify_all()
        self._left_behind.append(self._thread)

    def _new_thread(self) -> ProcessingThread:
        return ProcessingThread(self._batches, self._arrived, self._processor, self._report)

    def _report(self, batch: Batch, verdict: Verdict) -> None:
        """Carry the outcome from the processing thread to the loop."""
        # A loop that is closed has given up on the connection, and the broker delivers again.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._take_report, batch, verdict)

    def _take_report(self, batch: Batch, verdict: Verdict) -> None:
        if not batch.is_taken_away:
            self._unsettled -= 1
            self._on_processed(batch.deliveries, verdict)


def _log_overdue(batch: Batch, seconds: float, *, is_at_fault: bool) -> None:
    alone = batch.deliveries[0].envelope.message_id if len(batch.deliveries) == 1 else None
    logger().error(
        "batch_overdue",
        deliveries=len(batch.deliveries),
        message_id=alone,
        seconds=round(seconds, 1),
        consequence="each is tried alone" if is_at_fault else "tried again: the database does not answer",
    )
