"""Post to registered webhooks, retry as the platform does, and record each attempt."""

import threading
import uuid
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from simulator.platform.registrations import Registrations
from simulator.sender import RetryPolicy, WebhookEndpoint, is_retryable, retry_delay
from simulator.traffic import compact

MAX_DELIVERIES: Final = 1_000
"""Deliveries remembered: enough for the page, not for a load test."""


@dataclass(slots=True)
class WebhookDelivery:
    """One body on its way to one webhook or integration.

    `state`: sending, waiting for a retry, answered, refused or given up; or lost: never sent on purpose.
    `attempts`: each answer's status, None if there was none, and its latency in seconds.
    """

    registration_id: str
    payload: dict[str, Any]
    state: str = "sending"
    attempts: list[tuple[int | None, float]] = field(default_factory=list)
    delivery_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    began_at: datetime = field(default_factory=lambda: datetime.now(UTC))


class Outbound:
    """The platform's own sender; safe for use by several threads."""

    def __init__(self, registrations: Registrations, policy: RetryPolicy | None = None) -> None:
        self.policy = policy or RetryPolicy()
        self.deliveries: deque[WebhookDelivery] = deque(maxlen=MAX_DELIVERIES)
        self._registrations = registrations
        self._stopped = threading.Event()
        self._threads: set[threading.Thread] = set()

    def send(
        self, registration_id: str, url: str, headers: dict[str, str], payload: dict[str, Any]
    ) -> WebhookDelivery:
        """Begin to post *payload*; returns at once."""
        delivery = WebhookDelivery(registration_id, payload)
        thread = threading.Thread(target=self._deliver, args=(delivery, url, headers), daemon=True)
        self._threads.add(thread)
        self.deliveries.append(delivery)
        thread.start()
        return delivery

    def lose(self, registration_id: str, payload: dict[str, Any]) -> None:
        """Record a body that is never sent, for reconciliation to find."""
        self.deliveries.append(WebhookDelivery(registration_id, payload, state="lost"))

    def statistics(self, registration_id: str) -> dict[str, Any]:
        """Return the totals of one webhook's deliveries; the rate is in percent, None before the first."""
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
        """Block until no delivery is on its way."""
        for thread in list(self._threads):
            thread.join()

    def stop(self) -> None:
        """Stop retrying; blocks until the requests in progress are answered."""
        self._stopped.set()
        self.wait()

    def _deliver(self, delivery: WebhookDelivery, url: str, headers: dict[str, str]) -> None:
        body = compact(delivery.payload)
        try:
            while (delay := self._attempt(delivery, url, headers, body)) is not None:
                delivery.state = "waiting for a retry"
                if self._stopped.wait(delay):
                    delivery.state = "given up"
                    break
        finally:
            self._threads.discard(threading.current_thread())

    def _attempt(
        self, delivery: WebhookDelivery, url: str, headers: dict[str, str], body: bytes
    ) -> float | None:
        """Post once; return the seconds until the next attempt, or None if this was the last one."""
        secret = self._registrations.secret_for(delivery.registration_id)
        timeout = self.policy.timeout
        endpoint = WebhookEndpoint(url, secret=secret, timeout=timeout, connections=1, headers=headers)
        response = endpoint.post(body)
        endpoint.close()
        delivery.attempts.append((response.status, response.latency))
        delay = retry_delay(self.policy, response, attempt=len(delivery.attempts))
        if delay is None and is_retryable(response.status):
            delivery.state = "given up"
        elif delay is None:
            delivery.state = "answered" if response.status and response.status < 300 else "refused"
        return delay
