"""Poll the management API for the depth and members of the events queue, on a separate thread."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from messaging.log import logger
from messaging.management import ManagementApi, Members, quote_vhost
from messaging.topology import EVENTS_QUEUE
from webhook_api.backpressure.admission import DepthSample

POLL_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class QueueReport:
    """One report from the management API about the events queue.

    *asked_at* is the monotonic time at which the request was sent; the report is no older. *address* is the
    index of the queried address. *members* and *depth* are None if they are unknown.
    """

    asked_at: float
    address: int
    members: Members | None
    depth: DepthSample | None


class DepthPoller:
    """Polls every second on a separate thread, and calls *on_report* with each report on that thread.

    *preferred_address* returns the index to query first; None: the one with the fewest consecutive failures.
    """

    def __init__(
        self,
        management_urls: tuple[str, ...],
        amqp_urls: tuple[str, ...],
        on_report: Callable[[QueueReport], object],
        preferred_address: Callable[[], int | None],
    ) -> None:
        self._vhost = quote_vhost(amqp_urls)
        self._apis = [ManagementApi(url) for url in management_urls]
        self._failures = [0] * len(self._apis)
        self._on_report = on_report
        self._preferred_address = preferred_address
        self._stopped = threading.Event()
        self._was_known = True
        self._thread = threading.Thread(target=self._run, name="queue-depth", daemon=True)

    def start(self) -> None:
        """Poll until `stop` is called. Call this after the fork."""
        self._thread.start()

    def stop(self) -> None:
        """Stop polling, without waiting for a request in progress."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(POLL_SECONDS):
            report = self._poll()
            self._log_change(is_known=report is not None and report.depth is not None)
            if report is not None and not self._stopped.is_set():
                self._on_report(report)

    def _poll(self) -> QueueReport | None:
        """Return the report of the first address that answers."""
        preferred, failures = self._preferred_address(), self._failures
        order = sorted(range(len(self._apis)), key=lambda address: (address != preferred, failures[address]))
        return next((report for address in order if (report := self._query(address)) is not None), None)

    def _query(self, address: int) -> QueueReport | None:
        """Return the report of one address; its depth is untrusted during an alarm or without a majority."""
        asked_at, depth = time.monotonic(), None
        self._failures[address] += 1
        try:
            queue = self._apis[address].read_queue(self._vhost, EVENTS_QUEUE)
            has_alarm = self._apis[address].has_alarm()
        except Exception:  # noqa: BLE001  # an answer that cannot be read must not end the thread
            return None
        self._failures[address] = 0
        if queue.depth is not None and queue.unacknowledged is not None:
            is_trusted = queue.has_majority and not has_alarm
            depth = DepthSample(time.monotonic(), queue.depth, queue.unacknowledged, is_trusted)
        return QueueReport(asked_at, address, queue.members, depth)

    def _log_change(self, *, is_known: bool) -> None:
        was_known, self._was_known = self._was_known, is_known
        if is_known and not was_known:
            logger().info("queue_depth_known")
        elif was_known and not is_known:
            consequence = "after 15 s, only the journal's limit causes refusals"
            logger().warning("queue_depth_unknown", consequence=consequence)
