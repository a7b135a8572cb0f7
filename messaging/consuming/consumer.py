"""Keep a subscription to one of several nodes, detect a stuck subscription, and stop cleanly."""

import asyncio
import time
from functools import partial
from typing import Any

from messaging.broker import ATTEMPT_SECONDS, STABLE_SECONDS, parameters_of
from messaging.clock import delay_before
from messaging.consuming.delivery import Processor
from messaging.consuming.processing import Processing
from messaging.consuming.subscription import Subscription
from messaging.log import log_callback_failure, logger
from messaging.process import ServiceManager, Watchdog

TICK_SECONDS = 0.2
"""Longest delay until a signal takes effect. Handlers only set a flag: interrupted code can hold a lock."""

PROBE_SECONDS = 3.0
"""Interval between checks for waiting events while idle. If two in a row find any, the consumer is stuck.

After a queue's leader changes, the broker can stop serving a consumer: it does not repeat the consumer's
acknowledgements to the new leader, which still counts those deliveries as prefetched. The check detects
that after 3 to 6 s. It is one passive declare, which costs the broker less than an event.

Source: rabbitmq-server, pull requests 13095 (fixed in 4.0.6) and 14589.
"""

STOP_SECONDS = 2.0
"""How long a stopping consumer waits for deliveries in progress; a batch takes a tenth of that. The broker
redelivers unfinished ones. Even in an outage, the worker stops and sends its last report within 5 s."""


class Consumer:
    """Consumes events in batches until it is stopped. `run` blocks the calling thread.

    A batch has at most *batch_events* deliveries; under load, its first delivery waits *batch_seconds* for
    more. The broker shows *client_name* as the connection's name. Every tick feeds the watchdog.
    """

    def __init__(
        self,
        urls: tuple[str, ...],
        processor: Processor,
        *,
        client_name: str,
        batch_events: int,
        batch_seconds: float,
        service_manager: ServiceManager,
        watchdog: Watchdog | None = None,
        stop_seconds: float = STOP_SECONDS,
    ) -> None:
        self._parameters = parameters_of(urls, client_name=client_name)
        self._stop_seconds = stop_seconds
        self._service_manager = service_manager
        self._watchdog = watchdog
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(log_callback_failure)
        self._processing = Processing(self._loop, processor)
        batches: dict[str, Any] = {"batch_events": batch_events, "batch_seconds": batch_seconds}
        self._subscribe = partial(Subscription, self._loop, self._processing, **batches)
        self._subscription: Subscription | None = None
        self._node = -1
        self._attempt = 0
        self._attempt_since = 0.0
        self._up_since: float | None = None
        self._stop_requested = False
        self._stop_deadline: float | None = None
        self._probed_at = time.monotonic()
        self._probed_received = -1

    def run(self) -> None:
        """Consume until `stop` is called; continue after every outage of the broker or the database."""
        self._connect()
        # Feed the watchdog at once: the first feed activates it, and the very first batch could hang.
        self._tick()
        self._loop.run_forever()
        self._loop.close()
        self._processing.close()

    def stop(self) -> None:
        """Make `run` settle its deliveries and return. A signal handler may call this."""
        self._stop_requested = True

    def _connect(self) -> None:
        if self._stop_requested:
            return
        # Try a different node each time, because the node of the lost connection might be hanging.
        self._node = (self._node + 1) % len(self._parameters)
        self._attempt += 1
        self._attempt_since = time.monotonic()
        self._subscription = self._subscribe(on_up=self._on_up, on_lost=self._on_lost)
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
            # Stop the loop a little later, so that the last acknowledgements are sent.
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
            self._check_progress(self._subscription)

    def _advance_stop(self) -> None:
        now, deadline = time.monotonic(), self._stop_deadline
        if deadline is not None and now <= deadline:
            return
        self._stop_deadline = now + self._stop_seconds
        if deadline is None:
            self._service_manager.stopping()
            logger().info("consumer_stopping")
        else:
            logger().warning("consumer_stop_overdue", consequence="the broker delivers the held events again")
        if self._subscription is None:
            self._loop.stop()
        elif deadline is None:
            self._subscription.stop()
        else:
            self._subscription.drop("stop overdue")

    def _check_progress(self, subscription: Subscription) -> None:
        now = time.monotonic()
        if self._up_since is None:
            if now - self._attempt_since > ATTEMPT_SECONDS:
                subscription.drop("the consumer did not start in time")
        elif subscription.is_idle and now - self._probed_at > PROBE_SECONDS:
            self._probed_at = now
            subscription.count_ready(lambda ready: self._on_ready_counted(subscription, ready))

    def _on_ready_counted(self, subscription: Subscription, ready: int) -> None:
        """Drop the connection if events are waiting but none was delivered since the last check."""
        if ready and subscription.is_idle and subscription.received == self._probed_received:
            logger().error("consumer_stuck", reason="events wait, but none are delivered", ready=ready)
            subscription.drop("stuck")
        self._probed_received = subscription.received if ready else -1
