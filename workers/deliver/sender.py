"""Send to one destination in its own threads, each conversation's deliveries one after the other."""

import queue
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from messaging.clock import Clock
from messaging.log import logger
from workers.deliver.destinations import Destination
from workers.deliver.leasing import MIN_RUN_EVENTS, LeasedDelivery
from workers.deliver.outcome import Breaker, HttpResult, Outcome, classify
from workers.deliver.recording import FINAL, DeliveryAttempt
from workers.deliver.webhook import Transport

AHEAD: Final = 2
"""Number of conversations that are leased for each thread, so that no thread waits for the database."""

RUN_SECONDS: Final = 1.0
"""After this time a run starts no further event, so that other conversations get their turn."""

MAX_RUN_EVENTS: Final = 500
"""A run has at most this number of events, because their bodies are in memory together."""

MARGIN_SECONDS: Final = 10.0
"""Time for the DNS lookup and for recording the last request, which the timeout does not cover."""


class Run:
    """One conversation's deliveries, sent one after the other; more may be added until the run ends."""

    def __init__(self, deliveries: Sequence[LeasedDelivery], *, is_probe: bool) -> None:
        self.deliveries = deque(deliveries)
        self.last = deliveries[-1]
        self.is_probe = is_probe
        self.is_ended = False
        self.may_grow = len(deliveries) >= MIN_RUN_EVENTS
        self._lock = threading.Lock()

    def add(self, deliveries: Sequence[LeasedDelivery]) -> bool:
        """Add deliveries that follow; return False if the run has ended.

        If the run still holds one of them, whose lease expired, none is added: they wait for the new lease.
        """
        with self._lock:
            if not set(_ids(self.deliveries)).isdisjoint(_ids(deliveries)):
                return True
            if not self.is_ended:
                self.deliveries.extend(deliveries)
                self.last, self.may_grow = deliveries[-1], True
            return not self.is_ended

    def advance(self) -> tuple[int, ...]:
        """Continue with the next delivery; return the outbox id of the finished one."""
        with self._lock:
            delivery = self.deliveries.popleft()
            self.is_ended = not self.deliveries
            return _ids([delivery])

    def end(self) -> list[LeasedDelivery]:
        """End the run, and return the deliveries that are left."""
        with self._lock:
            self.is_ended = True
            return list(self.deliveries)


@dataclass(slots=True)
class Sender:
    """A process's requests to one destination, and the destination's state according to their results.

    One thread begins runs and records attempts. The other threads send, and pass each attempt to *report*,
    also the end of a run without an attempt.
    """

    destination: Destination
    transport: Transport
    clock: Clock
    report: Callable[[DeliveryAttempt], None]
    breaker: Breaker = field(default_factory=Breaker)
    in_flight: int = 0
    delivered: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    _runs: queue.SimpleQueue[Run | None] = field(default_factory=queue.SimpleQueue)
    _active: dict[str, Run] = field(default_factory=dict)
    _last_taken_us: int = 0
    _request_seconds: float = RUN_SECONDS
    _is_stopped: bool = False

    @property
    def lease_seconds(self) -> float:
        """Duration of a run's lease: the time for one run before it and for the run itself."""
        return 2 * (RUN_SECONDS + self.destination.timeout) + MARGIN_SECONDS

    def start(self) -> None:
        """Start the threads that send. A stop does not wait for a thread that gets no response."""
        for _ in range(self.destination.concurrency):
            threading.Thread(target=self._send_runs, name=self.destination.name, daemon=True).start()

    def stop(self) -> None:
        """Give back the runs that wait for a thread, and end each thread after its current request."""
        self._is_stopped = True
        # A thread may take the last run meanwhile.
        with suppress(queue.Empty):
            while True:
                if run := self._runs.get_nowait():
                    self._give_back(run.end())
        for _ in range(self.destination.concurrency):
            self._runs.put(None)

    def free_slots(self) -> int:
        """Return how many more conversations may be leased now."""
        capacity = AHEAD * self.destination.concurrency
        return self.breaker.free_slots(time.monotonic(), self.in_flight, capacity)

    def events_per_run(self) -> int:
        """Return how many events can be sent one after the other in the time of a run."""
        return min(MAX_RUN_EVENTS, round(RUN_SECONDS / self._request_seconds))

    def begin(self, run: list[LeasedDelivery]) -> None:
        """Pass a conversation's deliveries to the threads, or to the one that is already sending for it."""
        conversation_id = run[0].message.conversation_id
        active = self._active.get(conversation_id)
        if active is not None and active.add(run):
            return
        self.in_flight += 1
        if active is not None:
            # Whether they may be sent depends on the result of the last delivery, which is not recorded yet.
            self._give_back(run)
            return
        self._active[conversation_id] = new = Run(run, is_probe=self.breaker.is_down)
        self._runs.put(new)

    def find_growing(self) -> list[LeasedDelivery]:
        """Return the last deliveries of runs that should get more, so that their threads never wait.

        The list is empty if all threads have a run. A run is listed again only after it got more.
        """
        if self.in_flight >= self.destination.concurrency:
            return []
        few = self.events_per_run() // 2
        runs = [run for run in self._active.values() if run.may_grow and len(run.deliveries) <= few]
        for run in runs:
            run.may_grow = False
        return [run.last for run in runs]

    def record(self, attempt: DeliveryAttempt) -> None:
        """Count and log a reported attempt, and update the destination's state from it."""
        result, message = attempt.result, attempt.delivery.message
        if attempt.is_last:
            self.in_flight -= 1
            self._active.pop(message.conversation_id, None)
        if result is None:
            return
        if attempt.outcome is Outcome.DELIVERED:
            self.delivered[message.event_type] += 1
            self._last_taken_us = max(self._last_taken_us, attempt.at_us)
            self._request_seconds += 0.05 * (attempt.took_us / 1_000_000 - self._request_seconds)
        else:
            self.failed += 1
        _log(attempt, result)
        if result.is_unsendable:
            return
        self.refused[message.event_type] += attempt.outcome is Outcome.REFUSED
        was_down = self.breaker.is_down
        self.breaker.record(result, attempt.outcome, message.conversation_id, time.monotonic())
        if self.breaker.is_down and not was_down:
            logger().error("destination_down", destination=self.destination.name, reason=result.reason)
        elif was_down and not self.breaker.is_down:
            logger().info("destination_up", destination=self.destination.name)

    def _send_runs(self) -> None:
        while run := self._runs.get():
            self._send_run(run)

    def _send_run(self, run: Run) -> None:
        """Send the deliveries in order until one has to be retried; report each attempt."""
        until, is_first = time.monotonic() + RUN_SECONDS, True
        margin_us = round((self.destination.timeout + MARGIN_SECONDS) * 1_000_000)
        while not run.is_ended:
            delivery, began_us = run.deliveries[0], self.clock.now_us()
            is_over = time.monotonic() > until and not (is_first or self._runs.empty())
            if is_over or self._is_stopped or began_us > delivery.lease_us - margin_us:
                self._give_back(run.end())
                return
            is_first, started = False, time.monotonic()
            result = self._send(delivery)
            took_us = round((time.monotonic() - started) * 1_000_000)
            now_us = self.clock.now_us()
            outcome, attempts = classify(
                result,
                self.destination,
                delivery.history,
                now_us,
                last_taken_us=self._last_taken_us,
                is_probe=run.is_probe,
            )
            rest = run.advance() if outcome in FINAL else _ids(run.end())
            attempt = DeliveryAttempt(
                self.destination, delivery, result, outcome, attempts, now_us, rest, run.is_ended, took_us
            )
            self.report(attempt)

    def _give_back(self, deliveries: Sequence[LeasedDelivery]) -> None:
        """Report the end of a run whose remaining deliveries were not sent."""
        first = deliveries[0]
        unsent = DeliveryAttempt(
            self.destination,
            first,
            None,
            Outcome.TRANSIENT,
            attempts=first.history.attempts,
            at_us=self.clock.now_us(),
            rest=_ids(deliveries),
            is_last=True,
        )
        self.report(unsent)

    def _send(self, delivery: LeasedDelivery) -> HttpResult:
        if delivery.message.is_lost:
            return HttpResult(None, "payload_gone", is_unsendable=True)
        try:
            return self.transport.send(delivery.message)
        except Exception as error:  # noqa: BLE001  # the thread's outermost call, and its run must end
            logger().exception("delivery_not_sent", outbox_id=delivery.message.outbox_id)
            return HttpResult(None, type(error).__name__)


def _ids(deliveries: Iterable[LeasedDelivery]) -> tuple[int, ...]:
    return tuple(delivery.message.outbox_id for delivery in deliveries)


def _log(attempt: DeliveryAttempt, result: HttpResult) -> None:
    is_delivered = attempt.outcome is Outcome.DELIVERED
    log = logger().debug if is_delivered else logger().warning
    log(
        "delivery_attempted" if is_delivered else "delivery_failed",
        destination=attempt.destination.name,
        outbox_id=attempt.delivery.message.outbox_id,
        reason=result.reason,
        outcome=attempt.outcome,
        attempts=attempt.attempts,
        ms=round(attempt.took_us / 1000, 2),
    )
