"""Deliver what is due: one thread for the database, some for each destination's requests."""

from __future__ import annotations

import queue
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from messaging.log import logger
from workers.deliver import deliveries
from workers.deliver.attempts import Attempt, attempt_run, lease_seconds
from workers.deliver.breaker import Breaker
from workers.deliver.judgement import End
from workers.deliver.records import record
from workers.deliver.registry import register
from workers.deliver.transport import Transport
from workers.tables import transact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Engine

    from messaging.clock import Clock
    from workers.deliver.deliveries import Taken
    from workers.deliver.destinations import Destination
    from workers.deliver.judgement import Answer

BUSY_SECONDS: Final = 0.02
"""Between two looks at a database that had something due."""

IDLE_SECONDS: Final = 0.08
"""Between two looks at one that has had nothing due for a while: below the 100 ms an event may take."""

AHEAD: Final = 2
"""Conversations that are taken for each thread, so that none waits for the database."""

log = logger()


def pause_after(pause: float, *, found: bool) -> float:
    """Return how long to wait for the next look: at once short where something was due, else ever longer."""
    return BUSY_SECONDS if found else min(2 * pause, IDLE_SECONDS)


@dataclass(slots=True)
class _Lane:
    """What a process has for one destination."""

    destination: Destination
    transport: Transport
    threads: ThreadPoolExecutor
    breaker: Breaker = field(default_factory=Breaker)
    in_flight: int = 0
    delivered: int = 0
    failed: int = 0

    def room(self) -> int:
        return self.breaker.room(time.monotonic(), self.in_flight, AHEAD * self.destination.concurrency)


class Deliverer:
    """Delivers, step by step; the steps are taken by one thread.

    Args:
        engine: The database.
        clock: Our time.
        destinations: The services behind; those that are not enabled get nothing.
        logs_attempts: Whether each attempt gets a line.
    """

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        destinations: Sequence[Destination],
        *,
        logs_attempts: bool = False,
    ) -> None:
        self._engine = engine
        self._logs_attempts = logs_attempts
        self._clock = clock
        self._destinations = destinations
        self._lanes = {
            each.name: _Lane(each, Transport(each), ThreadPoolExecutor(each.concurrency, each.name))
            for each in destinations
            if each.enabled
        }
        self._ended: queue.SimpleQueue[Attempt] = queue.SimpleQueue()
        self._unrecorded: list[Attempt] = []
        self._pause = BUSY_SECONDS
        self._is_registered = False
        self._is_stopped = False

    def deliver(self) -> int:
        """Record what has ended, and begin what is due; waits for either for a moment.

        Raises:
            RetryLaterError: The database is away; what has ended is recorded by the next step.
        """
        if not self._is_registered:
            transact(
                self._engine,
                lambda connection: register(connection, self._destinations, self._clock.now_us()),
            )
            self._is_registered = True
        self._await_ends()
        runs = transact(self._engine, self._record_and_take)
        self._pause = pause_after(self._pause, found=bool(runs or self._unrecorded))
        self._unrecorded.clear()
        for lane, run in runs:
            self._begin(lane, run)
        return 1

    def finish(self, seconds: float) -> None:
        """Begin nothing more, and record what is under way; blocks until it is, for so long at most."""
        self._is_stopped = True
        deadline = time.monotonic() + seconds
        while any(lane.in_flight for lane in self._lanes.values()) and time.monotonic() < deadline:
            self._await_ends()
        transact(self._engine, lambda connection: record(connection, self._unrecorded, self._clock.now_us()))
        for lane in self._lanes.values():
            lane.threads.shutdown(wait=False, cancel_futures=True)

    def figures(self) -> dict[str, dict[str, float]]:
        """Return what this process has counted so far, by destination; any thread may ask."""
        lanes = self._lanes.items()
        return {
            "delivered": {name: lane.delivered for name, lane in lanes},
            "failed": {name: lane.failed for name, lane in lanes},
            "down": {name: int(lane.breaker.is_down) for name, lane in lanes},
        }

    def _await_ends(self) -> None:
        """Take up all attempts that have ended; where there is none, wait for one a moment."""
        try:
            self._note(self._ended.get(timeout=0.0 if self._unrecorded else self._pause))
            while True:
                self._note(self._ended.get_nowait())
        except queue.Empty:
            return

    def _note(self, attempt: Attempt) -> None:
        self._unrecorded.append(attempt)
        lane = self._lanes[attempt.destination.name]
        lane.in_flight -= attempt.is_last
        if attempt.answer is None:
            return
        if self._logs_attempts:
            _log_attempt(attempt, attempt.answer)
        if attempt.end is End.DELIVERED:
            lane.delivered += 1
            if lane.breaker.succeeded():
                log.info("destination_up", destination=attempt.destination.name)
            return
        lane.failed += 1
        log.warning(
            "delivery_failed",
            destination=attempt.destination.name,
            outbox_id=attempt.taken.message.outbox_id,
            reason=attempt.answer.reason,
            end=attempt.end,
            attempts=attempt.attempts,
        )
        if attempt.answer.is_hopeless:
            return
        conversation_id = attempt.taken.message.conversation_id
        if lane.breaker.failed(conversation_id, time.monotonic(), attempt.answer.retry_after):
            log.error("destination_down", destination=attempt.destination.name, reason=attempt.answer.reason)

    def _record_and_take(self, connection: Connection) -> list[tuple[_Lane, list[Taken]]]:
        now_us = self._clock.now_us()
        record(connection, self._unrecorded, now_us)
        open_lanes = [name for name, lane in self._lanes.items() if lane.room()]
        runs: list[tuple[_Lane, list[Taken]]] = []
        for name in deliveries.with_work(connection, open_lanes, now_us) if open_lanes else ():
            lane = self._lanes[name]
            lease_us = now_us + round(lease_seconds(lane.destination) * 1_000_000)
            taken = deliveries.take(connection, name, now_us, lease_us=lease_us, limit=lane.room())
            runs += [(lane, run) for run in taken]
        return runs

    def _begin(self, lane: _Lane, run: list[Taken]) -> None:
        lane.in_flight += 1
        lane.threads.submit(
            attempt_run,
            lane.transport,
            lane.destination,
            run,
            clock=self._clock,
            is_probe=lane.breaker.is_down,
            is_stopped=lambda: self._is_stopped,
            report=self._ended.put,
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
