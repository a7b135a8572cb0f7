"""Ask the broker how deep its queues are, apart from the edge's own way of asking."""

from __future__ import annotations

from typing import Any

import requests

VIRTUAL_HOST = "%2F"
TIMEOUT_SECONDS = 3.0
NAMES = ("events", "unrouted", "dead-letters")


class Queues:
    """The three queues through the management API.

    Args:
        management_url: With credentials.
    """

    def __init__(self, management_url: str) -> None:
        self.management_url = management_url

    def depth(self, name: str) -> int | None:
        """Return ready and unacknowledged deliveries; None where there is no answer."""
        return self._ask(name, "disable_stats=true&enable_queue_totals=true").get("messages")

    def consumers(self, name: str) -> int:
        """Return how many consumers the queue has; 0 where there is no answer."""
        return self._ask(name, "").get("consumers", 0)

    def copies(self, name: str) -> int:
        """Return on how many nodes the queue lives now; 0 where there is no answer."""
        return len(self._ask(name, "").get("online", []))

    def are_drained(self) -> bool:
        """Tell whether nothing waits for a worker, in deliveries ready or unacknowledged."""
        return all(self.depth(name) == 0 for name in ("events", "unrouted", "dead-letter-records"))

    def _ask(self, name: str, query: str) -> dict[str, Any]:
        url = f"{self.management_url}/api/queues/{VIRTUAL_HOST}/open-messaging.{name}?{query}"
        try:
            answer = requests.get(url, timeout=TIMEOUT_SECONDS)
            return answer.json() if answer.ok else {}
        except (requests.RequestException, ValueError):
            return {}
