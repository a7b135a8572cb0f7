"""Deliver due events: one thread uses the database, and each destination has threads that send requests."""

import queue
import time
from collections import Counter
from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, Engine

from messaging.clock import Clock
from workers.db.engine import transact
from workers.deliver import leasing, recording
from workers.deliver.destinations import Destination, compute_digest
from workers.deliver.sender import MAX_RUN_EVENTS, Sender
from workers.deliver.subscriptions import register
from workers.deliver.webhook import Transport
from workers.isolation import isolate

STOP_SECONDS: Final = 2.5
"""How long a stopping process waits for responses; events without a response are sent again later."""

BUSY_SECONDS: Final = 0.02
"""Delay between two polls of the database while deliveries are due."""

IDLE_SECONDS: Final = 0.08
"""Longest delay between two polls while no delivery is due. A due event then waits for less than 100 ms."""

FULL_SECONDS: Final = 0.1
"""How long results may wait while all threads have enough runs: one transaction then records many results."""


def idle_delay(delay: float, *, is_busy: bool) -> float:
    """Return the delay before the next poll; it doubles, up to IDLE_SECONDS, while no delivery is due."""
    return BUSY_SECONDS if is_busy else min(2 * delay, IDLE_SECONDS)


def is_running_out(sender: Sender) -> bool:
    """Return whether at least half the slots are free: threads might soon have to wait for the database."""
    return sender.free_slots() >= sender.in_flight


class Deliverer:
    """Delivers events to the enabled destinations. A single thread must call `deliver` repeatedly."""

    def __init__(self, engine: Engine, clock: Clock, destinations: Sequence[Destination]) -> None:
        self._engine = engine
        self._clock = clock
        self._destinations = destinations
        self._ended: queue.SimpleQueue[recording.DeliveryAttempt] = queue.SimpleQueue()
        self._senders = {
            destination.name: Sender(destination, Transport(destination, clock), clock, self._ended.put)
            for destination in destinations
            if destination.enabled
        }
        self._unrecorded: list[recording.DeliveryAttempt] = []
        self._delay = BUSY_SECONDS
        self._is_registered = False

    def deliver(self) -> int:
        """Wait briefly for a run to end, record the attempts that have ended, and start due deliveries.

        If the database is away, RetryLaterError is raised, and the next call records these attempts.
        """
        if not self._is_registered:
            transact(self._engine, register, self._destinations, self._clock.now_us())
            self._is_registered = True
            for sender in self._senders.values():
                sender.start()
        seconds = self._delay if any(map(is_running_out, self._senders.values())) else FULL_SECONDS
        self._await_attempts(time.monotonic() + (0.0 if self._unrecorded else seconds))
        # Use a single transaction for all the work; if it fails, repeat the work in several transactions.
        isolate([self._unrecorded], self._work, self._work_apart)
        return 1

    def finish(self, seconds: float = STOP_SECONDS) -> None:
        """Stop sending, and record the results of requests in flight; this takes at most *seconds*.

        When the leases of unfinished deliveries expire, another process sends them again with the same ids.
        """
        for sender in self._senders.values():
            sender.stop()
        deadline = time.monotonic() + seconds
        while any(sender.in_flight for sender in self._senders.values()) and time.monotonic() < deadline:
            self._await_attempts(deadline)
        recording.record_apart(self._engine, self._clock, self._unrecorded)

    def figures(self) -> dict[str, float | dict[str, float]]:
        """Return this process's counts, by destination and event type; any thread may call this."""
        senders, now = self._senders.items(), time.monotonic()
        return {
            "destinations_digest": float(compute_digest(tuple(self._destinations))),
            "delivered": _by_type({name: sender.delivered for name, sender in senders}),
            "refused": _by_type({name: sender.refused for name, sender in senders}),
            "failed": {name: sender.failed for name, sender in senders},
            "down": {name: int(sender.breaker.is_down) for name, sender in senders},
            "refusing": {name: int(sender.breaker.is_refusing(now)) for name, sender in senders},
        }

    def _await_attempts(self, until: float) -> None:
        """Collect ended attempts until a sender needs more runs or the monotonic time *until* is reached."""
        try:
            while True:
                attempt = self._ended.get(timeout=max(0.0, until - time.monotonic()))
                self._unrecorded.append(attempt)
                sender = self._senders[attempt.destination.name]
                sender.record(attempt)
                if attempt.is_last and is_running_out(sender):
                    until = 0.0
        except queue.Empty:
            return

    def _work(self, _: object) -> None:
        """Record attempts and lease deliveries in one transaction, then send the leased deliveries."""
        leased = transact(self._engine, self._record_and_lease)
        self._delay = idle_delay(self._delay, is_busy=bool(leased or self._unrecorded))
        self._unrecorded.clear()
        for sender, deliveries in leased:
            sender.begin(deliveries)

    def _record_and_lease(self, connection: Connection) -> list[tuple[Sender, list[leasing.LeasedDelivery]]]:
        recording.record(connection, self._unrecorded, self._clock.now_us())
        return [
            (sender, leasing.read_leased(connection, sender.destination.name, ids))
            for sender, ids in self._lease(connection)
        ]

    def _lease(self, connection: Connection) -> list[tuple[Sender, list[int]]]:
        """Lease due deliveries; return each sender with the outbox ids of its leased deliveries."""
        now_us = self._clock.now_us()
        slots = {name: free for name, sender in self._senders.items() if (free := sender.free_slots())}
        unpaused = leasing.find_unpaused(connection) if slots else []
        leased = []
        for name in [name for name in slots if name in unpaused]:
            sender, free = self._senders[name], slots[name]
            per_run = sender.events_per_run()
            ids = leasing.lease(
                connection,
                name,
                now_us,
                lease_us=now_us + round(sender.lease_seconds * 1_000_000),
                conversations=free,
                events=min(max(leasing.MIN_RUN_EVENTS * free, per_run), MAX_RUN_EVENTS),
            )
            for last in sender.find_growing():
                ids += leasing.lease_more(connection, name, last, now_us, events=per_run)
            if ids:
                leased.append((sender, ids))
        return leased

    def _work_apart(self, attempts: Sequence[recording.DeliveryAttempt], _error: Exception) -> None:
        """Do the work of `_work` in several transactions, so that a bad row affects only its own event."""
        recording.record_apart(self._engine, self._clock, attempts)
        self._unrecorded.clear()
        for sender, ids in transact(self._engine, self._lease):
            sender.begin(recording.read_apart(self._engine, self._clock, sender.destination, ids))


def _by_type(counts: dict[str, Counter[str]]) -> dict[str, float]:
    """Return counts whose keys are "DESTINATION EVENT_TYPE"; neither part contains a space."""
    return {f"{name} {kind}": count for name, of in counts.items() for kind, count in list(of.items())}
