"""Ask the management API for the depth of each queue of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import requests

from messaging.broker import virtual_host
from messaging.topology import QUEUES

if TYPE_CHECKING:
    from collections.abc import Sequence

TIMEOUT_SECONDS: Final = 2.0


class QueueDepths:
    """The depths, from the first of the broker's nodes that tells them.

    Args:
        management_urls: Base addresses with credentials.
        amqp_urls: Name the virtual host.
    """

    def __init__(self, management_urls: Sequence[str], amqp_urls: tuple[str, ...]) -> None:
        vhost = quote(virtual_host(amqp_urls), safe="")
        question = f"api/queues/{vhost}?disable_stats=true&enable_queue_totals=true"
        self._urls = [f"{url.rstrip('/')}/{question}" for url in management_urls]
        self._http = requests.Session()

    def read(self) -> dict[str, int]:
        """Return the depth by the queue's name; a queue of which nothing is known is missing."""
        for url in self._urls:
            try:
                answer = self._http.get(url, timeout=TIMEOUT_SECONDS)
                if answer.ok:
                    return _depths_of(answer.json())
            except (requests.RequestException, ValueError, AttributeError, TypeError, KeyError):
                continue
        return {}


def _depths_of(queues: list[dict[str, Any]]) -> dict[str, int]:
    return {queue["name"]: depth for queue in queues if (depth := _depth_of(queue)) is not None}


def _depth_of(queue: dict[str, Any]) -> int | None:
    """Return the depth that the management API tells of one of our queues, None where nobody knows it.

    A queue without a majority of its members says 0 then, or what it last knew.
    """
    depth = queue.get("messages")
    members, online = queue.get("members", ()), queue.get("online", ())
    has_majority = not members or 2 * len(online) > len(members)
    return depth if queue["name"] in QUEUES and type(depth) is int and depth >= 0 and has_majority else None
