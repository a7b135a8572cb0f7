"""Deliver what is due: one thread for the database, some for each destination's requests."""

from __future__ import annotations

import queue
import time
from typing import TYPE_CHECKING, Final

from workers.db.engine import transact
from workers.deliver import deliveries
from workers.deliver.attempts import Attempt, lease_seconds
from workers.deliver.destinations import digest_of
from workers.deliver.lane import Lane
from workers.deliver.records import record, record_apart
from workers.deliver.registry import register
from workers.deliver.transport import Transport
from workers.isolation import isolate

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence

    from sqlalchemy import Connection, Engine

    from messaging.clock import Clock
    from workers.deliver.deliveries import Taken
    from workers.deliver.destinations import Destination

BUSY_SECONDS: Final = 0.02
"""Between two looks at a database that had something due."""

IDLE_SECONDS: Final = 0.08
"""Between two looks at one that has had nothing due for a while: below the 100 ms an event may take."""


def pause_after(pause: float, *, found: bool) -> float:
    """Return how long to wait for the next look: at once short where something was due, else ever longer."""
    return BUSY_SECONDS if found else min(2 * pause, IDLE_SECONDS)


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
        self._clock = clock
        self._destinations = destinations
        self._ended: queue.SimpleQueue[Attempt] = queue.SimpleQueue()
        self._lanes = {
            each.name: Lane(each, Transport(each, clock), clock, self._ended.put, logs_attempts)
            for each in destinations
            if each.enabled
        }
        self._unrecorded: list[Attempt] = []
        self._pause = BUSY_SECONDS
        self._is_registered = False

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
        self._lanes[attempt.destination.name].note(attempt)

    def _record_and_begin(self, _: object) -> None:
        runs = transact(self._engine, self._record_and_take)
        self._pause = pause_after(self._pause, found=bool(runs or self._unrecorded))
        self._unrecorded.clear()
        for lane, run in runs:
            lane.begin(run)

    def _record_apart(self, attempts: Sequence[Attempt], error: Exception) -> None:
        if not attempts:
            raise error
        record_apart(self._engine, self._clock, attempts)
        self._unrecorded.clear()

    def _record_and_take(self, connection: Connection) -> list[tuple[Lane, list[Taken]]]:
        now_us = self._clock.now_us()
        record(connection, self._unrecorded, now_us)
        open_lanes = [name for name, lane in self._lanes.items() if lane.room()]
        runs: list[tuple[Lane, list[Taken]]] = []
        for name in deliveries.with_work(connection, open_lanes, now_us) if open_lanes else ():
            lane = self._lanes[name]
            lease_us = now_us + round(lease_seconds(lane.destination) * 1_000_000)
            taken = deliveries.take(connection, name, now_us, lease_us=lease_us, limit=lane.room())
            runs += [(lane, run) for run in taken]
        return runs


def _by_type(counts: dict[str, Counter[str]]) -> dict[str, float]:
    """Return counts by "destination event_type": neither has a space."""
    return {f"{name} {kind}": count for name, of in counts.items() for kind, count in list(of.items())}
