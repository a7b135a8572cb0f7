"""Send deliveries to one destination on several threads; a conversation's deliveries are sent in order."""

import queue
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
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
MAX_AHEAD: Final = 12
AHEAD_SECONDS: Final = 0.2
"""Number of conversations leased for each sending thread, so that no thread waits for the database: as many
as a thread can send in AHEAD_SECONDS if each has one event, but at least AHEAD and at most MAX_AHEAD."""

RUN_SECONDS: Final = 1.0
"""A run sends events for about this time; then other conversations get their turn."""

MAX_RUN_EVENTS: Final = 500
"""Maximum number of events in one lease and in one run; their bodies are kept in memory."""

MARGIN_SECONDS: Final = 10.0
"""Extra lease time for what a request's timeout does not limit: the DNS lookup, and recording the result."""


@dataclass(slots=True)
class DeliveryRun:
    """The deliveries of one conversation, which one thread sends one after the other.

    The sending thread removes each finished delivery, and does not use the run after it has reported the last
    attempt. Until that attempt is recorded, the leasing thread may append later deliveries.
    """

    deliveries: deque[LeasedDelivery]
    ids: set[int]
    last: LeasedDelivery
    is_probe: bool
    may_grow: bool


@dataclass(slots=True)
class Sender:
    """Sends this process's requests to one destination, and derives the destination's state from the results.

    One thread starts runs and records attempts. The other threads send, and pass each attempt to *report*. If
    a run stops before an attempt, they report the end of the run.
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
    _runs: queue.SimpleQueue[DeliveryRun | None] = field(default_factory=queue.SimpleQueue)
    _active: dict[str, DeliveryRun] = field(default_factory=dict)
    _last_taken_us: int = 0
    _request_seconds: float = RUN_SECONDS
    _is_stopped: bool = False

    @property
    def lease_seconds(self) -> float:
        """Duration of a run's lease: long enough for the run itself and for one earlier run."""
        return 2 * (RUN_SECONDS + self.destination.timeout) + MARGIN_SECONDS

    def start(self) -> None:
        """Start the sending threads as daemon threads, which cannot delay the end of the process."""
        for _ in range(self.destination.concurrency):
            threading.Thread(target=self._send_runs, name=self.destination.name, daemon=True).start()

    def stop(self) -> None:
        """Give back the runs that no thread has started, and end each thread after its current request."""
        self._is_stopped = True
        # Do not test empty() instead: a thread can take the last run between the test and get_nowait().
        with suppress(queue.Empty):
            while True:
                if run := self._runs.get_nowait():
                    self._give_back(run)
        for _ in range(self.destination.concurrency):
            self._runs.put(None)

    def free_slots(self) -> int:
        """Return how many more conversations may be leased now for this destination."""
        ahead = min(max(AHEAD, round(AHEAD_SECONDS / self._request_seconds)), MAX_AHEAD)
        capacity = ahead * self.destination.concurrency
        return self.breaker.free_slots(time.monotonic(), self.in_flight, capacity)

    def events_per_run(self) -> int:
        """Return how many events a run can send, one after the other, within RUN_SECONDS."""
        return min(MAX_RUN_EVENTS, round(RUN_SECONDS / self._request_seconds))

    def begin(self, leased: Sequence[LeasedDelivery]) -> None:
        """Start a run for each conversation's deliveries, or append them to its current run."""
        runs: dict[str, list[LeasedDelivery]] = {}
        for delivery in leased:
            runs.setdefault(delivery.message.conversation_id, []).append(delivery)
        for deliveries in runs.values():
            self._begin_run(deliveries)

    def _begin_run(self, deliveries: Sequence[LeasedDelivery]) -> None:
        conversation_id, last = deliveries[0].message.conversation_id, deliveries[-1]
        ids = {delivery.message.outbox_id for delivery in deliveries}
        run = self._active.get(conversation_id)
        if run is None:
            may_grow = len(deliveries) >= MIN_RUN_EVENTS
            run = DeliveryRun(deque(deliveries), ids, last, is_probe=self.breaker.is_down, may_grow=may_grow)
            self.in_flight += 1
            self._active[conversation_id] = run
            if self._is_stopped:
                self._give_back(run)
            else:
                self._runs.put(run)
        elif run.ids.isdisjoint(ids):
            run.deliveries.extend(deliveries)
            run.ids |= ids
            run.last, run.may_grow = last, True
        # Otherwise, the run's lease expired and its deliveries were leased again: let this lease expire too.

    def find_growing(self) -> list[LeasedDelivery]:
        """Return the last delivery of each run that needs more deliveries, so that no thread has to wait.

        The list is empty if all threads have a run. A run is listed again only after deliveries were added.
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
        message = attempt.delivery.message
        if attempt.is_last:
            self.in_flight -= 1
            del self._active[message.conversation_id]
        elif attempt.outcome in FINAL:
            # If an operator resends this delivery, the same run can send it again.
            self._active[message.conversation_id].ids.discard(message.outbox_id)
        if attempt.result is not None:
            self._record_result(attempt, attempt.result)
        if attempt.is_last and attempt.outcome in FINAL and attempt.unsent:
            # These deliveries were added after the sending thread had found the run empty.
            self._begin_run(attempt.unsent)

    def _record_result(self, attempt: DeliveryAttempt, result: HttpResult) -> None:
        message = attempt.delivery.message
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

    def _send_run(self, run: DeliveryRun) -> None:
        """Send a run's deliveries in order until one must be retried; report each attempt."""
        until, is_first = time.monotonic() + RUN_SECONDS, True
        margin_us = round((self.destination.timeout + MARGIN_SECONDS) * 1_000_000)
        is_last = False
        while not is_last:
            delivery, began_us = run.deliveries[0], self.clock.now_us()
            is_over = time.monotonic() > until and not (is_first or self._runs.empty())
            if is_over or self._is_stopped or began_us > delivery.lease_us - margin_us:
                self._give_back(run)
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
            if outcome in FINAL:
                run.deliveries.popleft()
            is_last = outcome not in FINAL or not run.deliveries
            attempt = DeliveryAttempt(
                self.destination,
                delivery,
                run.deliveries,
                result,
                outcome,
                attempts,
                at_us=now_us,
                took_us=took_us,
                is_last=is_last,
            )
            self.report(attempt)

    def _give_back(self, run: DeliveryRun) -> None:
        """Report that a run ends and that its remaining deliveries were not sent."""
        self.report(DeliveryAttempt(self.destination, run.deliveries[0], run.deliveries))

    def _send(self, delivery: LeasedDelivery) -> HttpResult:
        if delivery.message.is_lost:
            return HttpResult(None, "payload_gone", is_unsendable=True)
        try:
            return self.transport.send(delivery.message)
        except Exception as error:  # noqa: BLE001  # the thread must not end, and must report this attempt
            logger().exception("delivery_not_sent", outbox_id=delivery.message.outbox_id)
            return HttpResult(None, type(error).__name__)


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
