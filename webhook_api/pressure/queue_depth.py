"""Ask the management API for the queue's depth, from a thread of its own, never from a request."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

import requests

from messaging.log import logger
from messaging.topology import EVENTS_QUEUE
from webhook_api.pressure.admission import DepthSample

if TYPE_CHECKING:
    from collections.abc import Callable

POLL_SECONDS: Final = 1.0
TIMEOUT_SECONDS: Final = 2.0
"""The API itself sets no limit to a call; a hung one must not delay the next for long."""


class QueueDepthPoller:
    """One thread that polls and hands each trusted or untrusted sample over.

    Args:
        management_url: Base address with credentials, e.g. http://user:pass@host:15672.
        amqp_url: Names the virtual host.
        on_sample: Called on the poller's thread.
    """

    def __init__(self, management_url: str, amqp_url: str, on_sample: Callable[[DepthSample], None]) -> None:
        vhost = urlsplit(amqp_url).path[1:] or "/"
        base = management_url.rstrip("/")
        queue = f"{base}/api/queues/{quote(_unquoted(vhost), safe='')}/{EVENTS_QUEUE}"
        # The one form of the question that is cheap for the broker and outlives its metrics collector.
        self._depth_url = f"{queue}?disable_stats=true&enable_queue_totals=true"
        self._alarms_url = f"{base}/api/health/checks/alarms"
        self._on_sample = on_sample
        self._stopped = threading.Event()
        self._was_known = True
        self._thread = threading.Thread(target=self._run, name="queue-depth", daemon=True)

    def start(self) -> None:
        """Poll every second until `stop`; call after the fork."""
        self._thread.start()

    def stop(self) -> None:
        """Stop polling; returns at once."""
        self._stopped.set()

    def _run(self) -> None:
        with requests.Session() as http:
            while not self._stopped.wait(POLL_SECONDS):
                sample = self._ask(http)
                self._tell_change(is_known=sample is not None)
                if sample is not None:
                    self._on_sample(sample)

    def _ask(self, http: requests.Session) -> DepthSample | None:
        """Return a sample, or None where nothing is known: unknown is never zero."""
        try:
            answer = http.get(self._depth_url, timeout=TIMEOUT_SECONDS)
            alarms = http.get(self._alarms_url, timeout=TIMEOUT_SECONDS)
            depth = answer.json()["messages"] if answer.status_code == 200 else None
        except (requests.RequestException, ValueError, KeyError, TypeError):
            return None
        if type(depth) is not int or depth < 0:
            return None
        return DepthSample(at=time.monotonic(), depth=depth, is_trusted=alarms.status_code == 200)

    def _tell_change(self, *, is_known: bool) -> None:
        if is_known != self._was_known:
            self._was_known = is_known
            if is_known:
                logger().info("queue_depth_known")
            else:
                logger().warning(
                    "queue_depth_unknown",
                    consequence="after 15 s only the journal's limit holds senders back",
                )


def _unquoted(vhost: str) -> str:
    return vhost.replace("%2F", "/").replace("%2f", "/")
