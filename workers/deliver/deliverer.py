"""Deliver what is due: one thread for the database, some for each destination's requests."""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from messaging.log import logger
from workers.deliver import deliveries
from workers.deliver.attempts import Attempt, Sending, attempt_run, lease_seconds, return_run
from workers.deliver.breaker import Breaker
from workers.deliver.destinations import digest_of
from workers.deliver.judgement import End
from workers.deliver.records import record, record_apart
from workers.deliver.registry import register
from workers.deliver.transport import Transport
from workers.isolation import isolate
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


Run = tuple["Sending", "list[Taken]"]


@dataclass(slots=True)
class _Lane:
    """What a process has for one destination."""

    destination: Destination
    transport: Transport
    runs: queue.SimpleQueue[Run | None] = field(default_factory=queue.SimpleQueue)
    breaker: Breaker = field(default_factory=Breaker)
    in_flight: int = 0
    last_taken_us: int = 0
    delivered: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    failed: int = 0

    def start(self) -> None:
        """Start the threads that send. A stop does not wait for one whose destination does not answer."""
        for _ in range(self.destination.concurrency):
            threading.Thread(target=self._send, name=self.destination.name, daemon=True).start()

    def stop(self) -> None:
        """Return the runs that wait for a thread, and end each thread after its present run."""
        while not self.runs.empty():
            if run := self.runs.get():
                return_run(*run)
        for _ in range(self.destination.concurrency):
            self.runs.put(None)

    def room(self) -> int:
        return self.breaker.room(time.monotonic(), self.in_flight, AHEAD * self.destination.concurrency)

    def _send(self) -> None:
        while run := self.runs.get():
            attempt_run(*run)


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
            each.name: _Lane(each, Transport(each, clock)) for each in destinations if each.enabled
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
            for lane in self._lanes.values():
                lane.start()
        self._await_ends()
        # Together in one transaction, as long as nothing is at fault.
        isolate([self._unrecorded], self._record_and_begin, self._record_apart)
        return 1

    def finish(self, seconds: float) -> None:
        """Begin nothing more, and record what is under way; blocks until it has ended, or for *seconds*.

        The lease of what has not ended then runs out, and another process repeats it under the same id.
        """
        self._is_stopped = True
        for lane in self._lanes.values():
            lane.stop()
        deadline = time.monotonic() + seconds
        while any(lane.in_flight for lane in self._lanes.values()) and time.monotonic() < deadline:
            self._await_ends()
        record_apart(self._engine, self._clock, self._unrecorded)

    def figures(self) -> dict[str, float | dict[str, float]]:
        """Return what this process has counted so far, by destination and event type; for any thread."""
        lanes, now = self._lanes.items(), time.monotonic()
        return {
            "destinations_digest": float(digest_of(tuple(self._destinations))),
            "delivered": _by_type({name: lane.delivered for name, lane in lanes}),
            "refused": _by_type({name: lane.refused for name, lane in lanes}),
            "failed": {name: lane.failed for name, lane in lanes},
            "down": {name: int(lane.breaker.is_down) for name, lane in lanes},
            "refusing": {name: int(lane.breaker.refuses_everything(now)) for name, lane in lanes},
        }

    def _await_ends(self) -> None:
        """Take up what has ended. Waits for the pause, or until a run ends and its thread is free."""
        until = time.monotonic() + (0.0 if self._unrecorded else self._pause)
        try:
            while True:
                attempt = self._ended.get(timeout=max(0.0, until - time.monotonic()))
                self._note(attempt)
                if attempt.is_last:
                    until = 0.0
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
            lane.delivered[attempt.taken.message.event_type] += 1
            lane.last_taken_us = max(lane.last_taken_us, attempt.at_us)
        else:
            lane.failed += 1
            _log_failure(attempt, attempt.answer)
        if not attempt.answer.is_hopeless:
            self._note_state(lane, attempt, attempt.answer)

    def _note_state(self, lane: _Lane, attempt: Attempt, answer: Answer) -> None:
        """Note what the answer shows of the destination."""
        conversation_id, now = attempt.taken.message.conversation_id, time.monotonic()
        if answer.is_away:
            if lane.breaker.failed(conversation_id, now, answer.retry_after):
                log.error("destination_down", destination=lane.destination.name, reason=answer.reason)
            return
        if answer.is_success:
            is_back = lane.breaker.succeeded()
        elif attempt.end is End.HELD:
            is_back = lane.breaker.refused(conversation_id, now)
        else:
            is_back = lane.breaker.answered()
        if is_back:
            log.info("destination_up", destination=lane.destination.name)
        if attempt.end is End.PERMANENT:
            lane.refused[attempt.taken.message.event_type] += 1

    def _record_and_begin(self, _: object) -> None:
        runs = transact(self._engine, self._record_and_take)
        self._pause = pause_after(self._pause, found=bool(runs or self._unrecorded))
        self._unrecorded.clear()
        for lane, run in runs:
            self._begin(lane, run)

    def _record_apart(self, attempts: Sequence[Attempt], error: Exception) -> None:
        if not attempts:
            raise error
        record_apart(self._engine, self._clock, attempts)
        self._unrecorded.clear()

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
        sending = Sending(
            lane.transport,
            lane.destination,
            self._clock,
            is_probe=lane.breaker.is_down,
            last_taken_us=lambda: lane.last_taken_us,
            is_stopped=lambda: self._is_stopped,
            report=self._ended.put,
        )
        lane.runs.put((sending, run))


def _by_type(counts: dict[str, Counter[str]]) -> dict[str, float]:
    """Return counts by "destination event_type": neither has a space."""
    return {f"{name} {kind}": count for name, of in counts.items() for kind, count in list(of.items())}


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
