"""Post to registered webhooks, retry as the platform does, and record each attempt."""

import threading
import uuid
from collections import deque
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from simulator.platform.registrations import Registrations, read_delays
from simulator.sender import RetryPolicy, WebhookEndpoint, is_retryable, retry_delay
from simulator.traffic import compact

MAX_DELIVERIES: Final = 1_000
"""Maximum number of deliveries kept in memory: enough for the page, but not for a load test."""


@dataclass(slots=True)
class WebhookDelivery:
    """One body to be sent to one webhook or integration, with its attempts so far."""

    registration_id: str
    payload: dict[str, Any]
    state: str = "sending"  # or waiting for a retry, answered, refused, given up, or lost (never sent)
    attempts: list[tuple[int | None, float]] = field(default_factory=list)  # status or None, and seconds
    delivery_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    began_at: datetime = field(default_factory=lambda: datetime.now(UTC))


class Outbound:
    """The simulated platform's webhook sender; thread-safe."""

    def __init__(self, registrations: Registrations) -> None:
        self.policy = RetryPolicy()
        self.deliveries: deque[WebhookDelivery] = deque(maxlen=MAX_DELIVERIES)
        self._registrations = registrations
        self._stopped = threading.Event()
        self._threads: set[threading.Thread] = set()

    def send(
        self, registration_id: str, url: str, headers: dict[str, str], payload: dict[str, Any]
    ) -> WebhookDelivery:
        """Start posting *payload* in a thread, and return at once."""
        delivery = WebhookDelivery(registration_id, payload)
        thread = threading.Thread(target=self._deliver, args=(delivery, url, headers), daemon=True)
        self._threads.add(thread)
        self.deliveries.append(delivery)
        thread.start()
        return delivery

    def lose(self, registration_id: str, payload: dict[str, Any]) -> None:
        """Record a body as lost without sending it, so that reconciliation has an event to find."""
        self.deliveries.append(WebhookDelivery(registration_id, payload, state="lost"))

    def statistics(self, registration_id: str) -> dict[str, Any]:
        """Return the totals of a webhook's deliveries. `successRate` is in percent; None without results."""
        deliveries = [one for one in list(self.deliveries) if one.registration_id == registration_id]
        settled = [one for one in deliveries if one.state in {"answered", "refused", "given up"}]
        succeeded = sum(one.state == "answered" for one in settled)
        return {
            "since": deliveries[0].began_at.isoformat() if deliveries else None,
            "sent": sum(one.state != "lost" for one in deliveries),
            "succeeded": succeeded,
            "failed": len(settled) - succeeded,
            "retries": sum(max(0, len(one.attempts) - 1) for one in deliveries),
            "successRate": 100.0 * succeeded / len(settled) if settled else None,
        }

    def wait(self) -> None:
        """Block until no delivery is being sent or waiting for a retry."""
        for thread in list(self._threads):
            thread.join()

    def stop(self) -> None:
        """Stop all retries, and block until the requests in progress are answered."""
        self._stopped.set()
        self.wait()

    def _deliver(self, delivery: WebhookDelivery, url: str, headers: dict[str, str]) -> None:
        try:
            while (delay := self._attempt(delivery, url, headers)) is not None:
                delivery.state = "waiting for a retry"
                if self._stopped.wait(delay):
                    delivery.state = "given up"
                    break
        finally:
            self._threads.discard(threading.current_thread())

    def _attempt(self, delivery: WebhookDelivery, url: str, headers: dict[str, str]) -> float | None:
        """Post once; return how many seconds to wait before the next attempt, or None if there is none."""
        secret = self._registrations.secret_for(delivery.registration_id)
        delays = read_delays(self._registrations.webhooks.get(delivery.registration_id, {}))
        policy = self.policy if delays is None else replace(self.policy, delays=delays)
        endpoint = WebhookEndpoint(url, secret=secret, timeout=policy.timeout, connections=1, headers=headers)
        response = endpoint.post(compact(delivery.payload))
        endpoint.close()
        delivery.attempts.append((response.status, response.latency))
        delay = retry_delay(policy, response, attempt=len(delivery.attempts))
        if delay is None and is_retryable(response.status):
            delivery.state = "given up"
        elif delay is None:
            delivery.state = "answered" if response.status and response.status < 300 else "refused"
        return delay
