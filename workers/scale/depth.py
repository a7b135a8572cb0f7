"""Ask the management API how much waits in the events queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote, urlsplit

import requests

from messaging.topology import EVENTS_QUEUE

if TYPE_CHECKING:
    from collections.abc import Sequence

TIMEOUT_SECONDS: Final = 2.0
"""The API itself sets no limit to a call."""


class QueueDepth:
    """The depth, from the first of the broker's nodes that tells it.

    Args:
        management_urls: Base addresses with credentials.
        amqp_url: Names the virtual host.
    """

    def __init__(self, management_urls: Sequence[str], amqp_url: str) -> None:
        virtual_host = quote(unquote(urlsplit(amqp_url).path[1:]) or "/", safe="")
        # The one form of the question that is cheap for the broker.
        question = f"api/queues/{virtual_host}/{EVENTS_QUEUE}?disable_stats=true&enable_queue_totals=true"
        self._urls = [f"{url.rstrip('/')}/{question}" for url in management_urls]
        self._http = requests.Session()

    def read(self) -> int | None:
        """Return how many deliveries wait or are in a worker's hand; None where nobody tells."""
        for url in self._urls:
            if (depth := self._ask(url)) is not None:
                return depth
        return None

    def _ask(self, url: str) -> int | None:
        try:
            answer = self._http.get(url, timeout=TIMEOUT_SECONDS)
            return _depth_of(answer.json()) if answer.ok else None
        except (requests.RequestException, ValueError, AttributeError, TypeError):
            return None


def _depth_of(queue: dict[str, Any]) -> int | None:
    """Return the depth that an answer tells; a queue without a majority says 0 where nobody knows."""
    depth = queue.get("messages")
    members, online = queue.get("members", ()), queue.get("online", ())
    has_majority = not members or 2 * len(online) > len(members)
    return depth if type(depth) is int and depth >= 0 and has_majority else None
