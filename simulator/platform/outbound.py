"""Post webhooks to what is registered, again after a refusal, and keep the account of each try."""

from __future__ import annotations

import threading
import uuid
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from simulator.sender import RetryPolicy, WebhookEndpoint, is_retryable, retry_delay
from simulator.traffic import compact

if TYPE_CHECKING:
    from simulator.platform.registrations import Registrations

MOST_DELIVERIES: Final = 1_000
"""What is remembered of deliveries: a page's worth, not a load test's."""


@dataclass(slots=True)
class Delivery:
    """One body on its way to one webhook.

    Args:
        registered_id: The webhook's or the integration's.
        payload: What is posted.
        state: under way, waiting to be sent again, answered, refused, given up; or lost: never sent.
        tries: Each answer's status, None where none came, with its seconds.
    """

    registered_id: str
    payload: dict[str, Any]
    state: str = "under way"
    tries: list[tuple[int | None, float]] = field(default_factory=list)
    delivery_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    began_at: datetime = field(default_factory=lambda: datetime.now(UTC))


class Outbound:
    """The platform's own sender; every method may be called by any thread.

    Args:
        registrations: Where a secret comes from, anew at each try.
        policy: When to send again.
    """

    def __init__(self, registrations: Registrations, policy: RetryPolicy | None = None) -> None:
        self.policy = policy or RetryPolicy()
        self.deliveries: deque[Delivery] = deque(maxlen=MOST_DELIVERIES)
        self._registrations = registrations
        self._stopped = threading.Event()
        self._threads: set[threading.Thread] = set()
        self._lock = threading.Lock()

    def send(
        self, registered_id: str, url: str, headers: dict[str, str], payload: dict[str, Any]
    ) -> Delivery:
        """Begin to post *payload*; returns at once."""
        delivery = Delivery(registered_id, payload)
        thread = threading.Thread(target=self._deliver, args=(delivery, url, headers), daemon=True)
        with self._lock:
            self.deliveries.append(delivery)
            self._threads.add(thread)
        thread.start()
        return delivery

    def lose(self, registered_id: str, payload: dict[str, Any]) -> Delivery:
        """Remember a body that is never sent, for reconciliation to find."""
        delivery = Delivery(registered_id, payload, state="lost")
        with self._lock:
            self.deliveries.append(delivery)
        return delivery

    def statistics(self, registered_id: str) -> dict[str, Any]:
        """Return how deliveries to one webhook went; the rate is in percent, None before the first."""
        ended = ("answered", "refused", "given up")
        with self._lock:
            concerned = [each for each in self.deliveries if each.registered_id == registered_id]
        settled = [each for each in concerned if each.state in ended]
        succeeded = sum(each.state == "answered" for each in settled)
        return {
            "since": concerned[0].began_at.isoformat() if concerned else None,
            "sent": sum(each.state != "lost" for each in concerned),
            "succeeded": succeeded,
            "failed": len(settled) - succeeded,
            "retries": sum(max(0, len(each.tries) - 1) for each in concerned),
            "successRate": 100.0 * succeeded / len(settled) if settled else None,
        }

    def wait(self) -> None:
        """Block until nothing is under way."""
        with self._lock:
            threads = list(self._threads)
        for thread in threads:
            thread.join()

    def stop(self) -> None:
        """Send nothing again; blocks until what is under way has been answered."""
        self._stopped.set()
        self.wait()

    def _deliver(self, delivery: Delivery, url: str, headers: dict[str, str]) -> None:
        body = compact(delivery.payload)
        try:
            while (delay := self._try(delivery, url, headers, body)) is not None:
                delivery.state = "waiting to be sent again"
                if self._stopped.wait(delay):
                    delivery.state = "given up"
                    break
        finally:
            with self._lock:
                self._threads.discard(threading.current_thread())

    def _try(self, delivery: Delivery, url: str, headers: dict[str, str], body: bytes) -> float | None:
        """Post once; return the seconds until the next try, None where this was the last."""
        secret = self._registrations.secret_of(delivery.registered_id)
        endpoint = WebhookEndpoint(
            url, secret=secret, timeout=self.policy.timeout, connections=1, headers=headers
        )
        answer = endpoint.post(body)
        endpoint.close()
        delivery.tries.append((answer.status, answer.latency))
        delay = retry_delay(
            self.policy, attempt=len(delivery.tries), status=answer.status, retry_after=answer.retry_after
        )
        if delay is None:
            delivery.state = _state_after(answer.status)
        return delay


def _state_after(status: int | None) -> str:
    if status is None or is_retryable(status):
        return "given up"
    return "answered" if status < 300 else "refused"
