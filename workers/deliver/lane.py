"""Send to one destination in threads of its own, and count and log what it answers."""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from messaging.log import logger
from workers.deliver.attempts import Attempt, Sending, attempt_run, return_run
from workers.deliver.breaker import Breaker
from workers.deliver.judgement import End

if TYPE_CHECKING:
    from collections.abc import Callable

    from messaging.clock import Clock
    from workers.deliver.deliveries import Taken
    from workers.deliver.destinations import Destination
    from workers.deliver.judgement import Answer
    from workers.deliver.transport import Transport

AHEAD: Final = 2
"""Conversations that are taken for each thread, so that none waits for the database."""

log = logger()

Run = tuple["Sending", "list[Taken]"]


@dataclass(slots=True)
class Lane:
    """What a process has for one destination; all but the sending is done by one thread.

    Args:
        destination: The destination.
        transport: The connections to it.
        clock: The database's time.
        report: Receives each attempt, from the threads that send.
        logs_attempts: Whether each attempt gets a line.
    """

    destination: Destination
    transport: Transport
    clock: Clock
    report: Callable[[Attempt], None]
    logs_attempts: bool = False
    runs: queue.SimpleQueue[Run | None] = field(default_factory=queue.SimpleQueue)
    breaker: Breaker = field(default_factory=Breaker)
    in_flight: int = 0
    last_taken_us: int = 0
    delivered: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    is_stopped: bool = False

    def start(self) -> None:
        """Start the threads that send. A stop does not wait for one whose destination does not answer."""
        for _ in range(self.destination.concurrency):
            threading.Thread(target=self._send, name=self.destination.name, daemon=True).start()

    def stop(self) -> None:
        """Return the runs that wait for a thread, and end each thread after its present request."""
        self.is_stopped = True
        while not self.runs.empty():
            if run := self.runs.get():
                return_run(*run)
        for _ in range(self.destination.concurrency):
            self.runs.put(None)

    def room(self) -> int:
        """Return how many more conversations may be taken now."""
        return self.breaker.room(time.monotonic(), self.in_flight, AHEAD * self.destination.concurrency)

    def begin(self, run: list[Taken]) -> None:
        """Hand a run to the threads."""
        self.in_flight += 1
        sending = Sending(
            self.transport,
            self.destination,
            self.clock,
            is_probe=self.breaker.is_down,
            last_taken_us=lambda: self.last_taken_us,
            is_stopped=lambda: self.is_stopped,
            report=self.report,
        )
        self.runs.put((sending, run))

    def note(self, attempt: Attempt) -> None:
        """Count and log an attempt that was reported, and what it shows of the destination."""
        self.in_flight -= attempt.is_last
        if attempt.answer is None:
            return
        if self.logs_attempts:
            _log_attempt(attempt, attempt.answer)
        if attempt.end is End.DELIVERED:
            self.delivered[attempt.taken.message.event_type] += 1
            self.last_taken_us = max(self.last_taken_us, attempt.at_us)
        else:
            self.failed += 1
            _log_failure(attempt, attempt.answer)
        if not attempt.answer.is_hopeless:
            self._note_state(attempt, attempt.answer)

    def _note_state(self, attempt: Attempt, answer: Answer) -> None:
        conversation_id, now = attempt.taken.message.conversation_id, time.monotonic()
        if answer.is_away:
            if self.breaker.failed(conversation_id, now, answer.retry_after):
                log.error("destination_down", destination=self.destination.name, reason=answer.reason)
            return
        if answer.is_success:
            is_back = self.breaker.succeeded()
        elif attempt.end is End.HELD:
            is_back = self.breaker.refused(conversation_id, now)
        else:
            is_back = self.breaker.answered()
        if is_back:
            log.info("destination_up", destination=self.destination.name)
        if attempt.end is End.PERMANENT:
            self.refused[attempt.taken.message.event_type] += 1

    def _send(self) -> None:
        while run := self.runs.get():
            attempt_run(*run)


def _log_failure(attempt: Attempt, answer: Answer) -> None:
    log.warning(
        "delivery_failed",
        destination=attempt.destination.name,
        outbox_id=attempt.taken.message.outbox_id,
        reason=answer.reason,
        end=attempt.end,
        attempts=attempt.attempts,
    )


def _log_attempt(attempt: Attempt, answer: Answer) -> None:
    log.info(
        "delivery_attempted",
        destination=attempt.destination.name,
        outbox_id=attempt.taken.message.outbox_id,
        status=answer.status,
        end=attempt.end,
        attempts=attempt.attempts,
        ms=round(attempt.took_us / 1000, 2),
    )
