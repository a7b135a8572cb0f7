"""Keep a subscription up over a list of nodes, notice when it gets stuck, stop it in good order."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING

from messaging.backoff import delay_before
from messaging.broker import ATTEMPT_SECONDS, parameters_of
from messaging.consuming.subscription import Subscription
from messaging.log import log_callback_failure, logger

if TYPE_CHECKING:
    from messaging.consuming.delivery import Processor
    from messaging.consuming.processing import TimeLimits
    from messaging.consuming.processing_thread import ProcessingThread
    from messaging.process import ServiceManager, Watchdog

TICK_SECONDS = 0.2
"""How soon a signal is noticed. A handler only sets a flag: it may interrupt a lock's holder."""

PROBE_SECONDS = 3.0
"""How often an idle consumer asks whether events wait for it; if they do, twice in a row, it is stuck.

After a change of the queue's leader the broker may forget a consumer: it does not repeat the consumer's
acknowledgements to the new leader, for which the prefetch stays used up. That is found after 3 to 6 s, with a
probe every 10 s after 20 to 30 s. A probe is one passive declare, which costs the broker less than an event.

Source: rabbitmq-server, pull requests 13095 (fixed in 4.0.6) and 14589.
"""

STABLE_SECONDS = 10.0
"""A connection that lasted so long was a good one: the next attempt after it starts without delay."""

STOP_SECONDS = 2.0
"""How long a stop waits for deliveries in progress; a batch takes a tenth of it. The others are delivered
again. With the worker's last report, a stop ends within five seconds, whatever is away."""

SWITCH_SECONDS = 0.0002
"""How long a thread that was left behind keeps the interpreter at a time, if it computes without end.

With the usual 0.005 s each statement of its successor waits so long to get the interpreter back.
"""


class Consumer:
    """Consumes events in batches until it is stopped; blocks its thread.

    Args:
        urls: AMQP addresses, tried in turn.
        processor: What deliveries are for.
        client_name: What the broker shows for the connection.
        batch_events: Most deliveries of a batch.
        batch_seconds: How long the first delivery of a batch waits for more where many come.
        limits: How long a batch may take before its deliveries are tried apart.
        service_manager: Is told what systemd wants to know.
        watchdog: Is fed while the loop turns.
        stop_seconds: How long a stop waits for deliveries in progress.
    """

    def __init__(
        self,
        urls: tuple[str, ...],
        processor: Processor,
        *,
        client_name: str,
        batch_events: int,
        batch_seconds: float,
        limits: TimeLimits,
        service_manager: ServiceManager,
        watchdog: Watchdog | None = None,
        stop_seconds: float = STOP_SECONDS,
    ) -> None:
        self._parameters = parameters_of(urls, client_name=client_name)
        self._processor = processor
        self._batch_events = batch_events
        self._batch_seconds = batch_seconds
        self._limits = limits
        self._left_behind: list[ProcessingThread] = []
        self._usual_switch_seconds = sys.getswitchinterval()
        self._stop_seconds = stop_seconds
        self._service_manager = service_manager
        self._watchdog = watchdog
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(log_callback_failure)
        self._subscription: Subscription | None = None
        self._node = -1
        self._attempt = 0
        self._attempt_since = 0.0
        self._up_since: float | None = None
        self._stop_requested = False
        self.is_worn = False
        """Whether it stopped by itself: a thread hangs in this process that only a new process is rid of."""
        self._stop_deadline: float | None = None
        self._probed_at = time.monotonic()
        self._probed_received = -1

    def run(self) -> None:
        """Consume until `stop`; reconnects for ever, whatever becomes of the broker or the database."""
        self._connect()
        # At once: what the first delivery does may be the last thing that happens here.
        self._tick()
        self._loop.run_forever()
        self._loop.close()

    def stop(self) -> None:
        """Ask `run` to settle what it holds and to return; may be called by a signal handler."""
        self._stop_requested = True
        self.is_worn = False

    def _connect(self) -> None:
        if self._stop_requested:
            return
        # Another node each time: the one whose connection was lost may hang, and would be waited for.
        self._node = (self._node + 1) % len(self._parameters)
        self._attempt += 1
        self._attempt_since = time.monotonic()
        self._subscription = Subscription(
            self._loop,
            self._processor,
            batch_events=self._batch_events,
            batch_seconds=self._batch_seconds,
            limits=self._limits,
            left_behind=self._left_behind,
            on_up=self._on_up,
            on_lost=self._on_lost,
        )
        self._subscription.open(self._parameters[self._node])

    def _on_up(self) -> None:
        self._up_since = time.monotonic()
        self._probed_received = -1
        self._probed_at = self._up_since
        logger().info("consumer_up", attempt=self._attempt)
        self._service_manager.ready()

    def _on_lost(self, reason: str) -> None:
        self._subscription = None
        if self._stop_deadline is not None:
            # The loop turns once more, so that the last acknowledgements leave.
            self._loop.call_later(TICK_SECONDS, self._loop.stop)
            return
        if self._up_since is not None and time.monotonic() - self._up_since >= STABLE_SECONDS:
            self._attempt = 0
        self._up_since = None
        delay = delay_before(self._attempt + 1)
        logger().warning("broker_unavailable", reason=reason, retry_in_s=round(delay, 2))
        self._loop.call_later(delay, self._connect)

    def _tick(self) -> None:
        self._loop.call_later(TICK_SECONDS, self._tick)
        self._service_manager.alive()
        if self._watchdog is not None:
            self._watchdog.feed()
        if self._stop_requested:
            self._advance_stop()
        elif self._subscription is not None:
            self._look_for_standstill(self._subscription)
            self._look_for_hanging_threads()

    def _advance_stop(self) -> None:
        now = time.monotonic()
        if self._stop_deadline is None:
            self._stop_deadline = now + self._stop_seconds
            if not self.is_worn:
                self._service_manager.stopping()
            logger().info("consumer_stopping")
            if self._subscription is None:
                self._loop.stop()
            else:
                self._subscription.stop()
        elif now > self._stop_deadline:
            self._stop_deadline = now + self._stop_seconds
            logger().warning("consumer_stop_overdue", consequence="the broker delivers again what is held")
            if self._subscription is None:
                self._loop.stop()
            else:
                self._subscription.drop("stop overdue")

    def _look_for_standstill(self, subscription: Subscription) -> None:
        now = time.monotonic()
        subscription.replace_overdue_thread()
        if self._up_since is None:
            if now - self._attempt_since > ATTEMPT_SECONDS:
                subscription.drop("it was not consuming in time")
        elif subscription.is_idle and now - self._probed_at > PROBE_SECONDS:
            self._probed_at = now
            subscription.count_ready(lambda ready: self._on_ready_counted(subscription, ready))

    def _look_for_hanging_threads(self) -> None:
        """Stop in good order once a thread that was left behind has had time enough to end."""
        self._left_behind[:] = [each for each in self._left_behind if each.is_alive]
        sys.setswitchinterval(SWITCH_SECONDS if self._left_behind else self._usual_switch_seconds)
        if any(each.left_for() > self._limits.for_one_event for each in self._left_behind):
            logger().warning("worker_worn", threads=len(self._left_behind), consequence="it starts afresh")
            self.is_worn = self._stop_requested = True

    def _on_ready_counted(self, subscription: Subscription, ready: int) -> None:
        """Compare with the last probe: events that wait while nothing comes were forgotten by the broker."""
        if ready and subscription.is_idle and subscription.received == self._probed_received:
            logger().error("consumer_stuck", reason="events wait, none is delivered", ready=ready)
            subscription.drop("stuck")
        self._probed_received = subscription.received if ready else -1
