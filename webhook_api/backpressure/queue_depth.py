"""Ask the management API about the events queue, from a thread of its own, never from a request."""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import requests

from messaging.broker import virtual_host
from messaging.log import logger
from messaging.topology import EVENTS_QUEUE
from webhook_api.backpressure.admission import DepthSample

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

POLL_SECONDS: Final = 1.0
TIMEOUT_SECONDS: Final = 2.0
"""The API itself sets no limit to a call; a hung one must not delay the next for long."""


@dataclass(frozen=True, slots=True)
class Members:
    """The nodes that hold the events queue, as one node sees them.

    Args:
        total: Nodes that have a copy; 1 on a lone node.
        online: Those that the node asked is connected to and whose copy runs, itself included.
        has_leader: Whether the leader is one of them.
    """

    total: int
    online: int
    has_leader: bool

    @property
    def has_majority(self) -> bool:
        """Whether those online can decide for the queue."""
        return self.online * 2 > self.total


@dataclass(frozen=True, slots=True)
class QueueReport:
    """What one answer of the management API told.

    Args:
        asked_at: Monotonic seconds before the question was sent: what was told is no older.
        address: Which of the addresses answered, counted from 0.
        members: The nodes that hold the events queue; None where it was not told.
        depth: None where the queue's depth is not known: unknown is never zero.
    """

    asked_at: float
    address: int
    members: Members | None
    depth: DepthSample | None


class QueueDepthPoller:
    """One thread that polls and hands each report over.

    Args:
        management_urls: Base addresses with credentials, e.g. http://user:pass@host:15672, tried in turn.
        amqp_urls: Name the virtual host.
        on_report: Called on the poller's thread.
        asked_first: Returns which address to ask before the others, counted from 0; with None the one that
            answered last is.
    """

    def __init__(
        self,
        management_urls: tuple[str, ...],
        amqp_urls: tuple[str, ...],
        on_report: Callable[[QueueReport], None],
        asked_first: Callable[[], int | None],
    ) -> None:
        vhost = quote(virtual_host(amqp_urls), safe="")
        self._http = requests.Session()
        self._nodes = [_Api(address, url, vhost, self._http) for address, url in enumerate(management_urls)]
        self._on_report = on_report
        self._asked_first = asked_first
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
        with self._http:
            while not self._stopped.wait(POLL_SECONDS):
                report = self._ask()
                self._tell_change(is_known=report is not None and report.depth is not None)
                if report is not None and not self._stopped.is_set():
                    self._on_report(report)

    def _ask(self) -> QueueReport | None:
        """Return what the first address that answers tells."""
        first = self._asked_first()
        for api in sorted(self._nodes, key=lambda api: (api.address != first, api.failures)):
            report = api.ask()
            if report is not None:
                return report
        return None

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


class _Question:
    """One GET, prepared once: to prepare it costs requests as much as to send it, and holds the loop up.

    Args:
        http: Sends it.
        url: With credentials.
    """

    def __init__(self, http: requests.Session, url: str) -> None:
        self._http = http
        self._url = url

    def ask(self) -> requests.Response:
        """Return the answer; waits for it.

        Raises:
            requests.RequestException: There is none.
        """
        request, settings = self._prepared
        return self._http.send(request, timeout=TIMEOUT_SECONDS, **settings)

    @cached_property
    def _prepared(self) -> tuple[requests.PreparedRequest, Mapping[str, Any]]:
        request = self._http.prepare_request(requests.Request("GET", self._url))
        return request, self._http.merge_environment_settings(self._url, {}, None, None, None)


class _Api:
    """One node's management API; `failures` counts those since its last answer."""

    def __init__(self, address: int, url: str, vhost: str, http: requests.Session) -> None:
        base = f"{url.rstrip('/')}/api"
        # The one form of the question that is cheap for the broker and outlives its metrics collector.
        queue = f"{base}/queues/{vhost}/{EVENTS_QUEUE}?disable_stats=true&enable_queue_totals=true"
        self.address = address
        self.failures = 0
        self._queue = _Question(http, queue)
        self._alarms = _Question(http, f"{base}/health/checks/alarms")

    def ask(self) -> QueueReport | None:
        """Return what this node tells of the queue, or None where it tells nothing."""
        asked_at = time.monotonic()
        self.failures += 1
        try:
            answer = self._queue.ask()
            if answer.status_code != 200:
                return None
            alarms = self._alarms.ask()
            queue = answer.json()
            members = members_of(queue)
            depth = _depth_of(queue, members, is_calm=alarms.status_code == 200)
        except Exception:  # noqa: BLE001  # whatever cannot be asked or read is unknown, and ends no thread
            return None
        self.failures = 0
        return QueueReport(asked_at, self.address, members, depth)


def members_of(queue: dict[str, Any]) -> Members | None:
    """Read the management API's `members`, `online` and `leader`, which every quorum queue has.

    `online` is what the node asked finds at the moment: a copy on a node that it has no connection to is not
    in it, so a node cut off from the others never sees a majority, and a frozen one holds the answer up.
    `leader` is only the one last recorded.

    Source:
        RabbitMQ 4.0.5, `online` and `format` in rabbit_quorum_queue.erl.
    """
    if "members" not in queue:
        return None
    members, online = set(queue["members"]), set(queue["online"])
    return Members(len(members), len(members & online), queue["leader"] in online)


def _depth_of(queue: dict[str, Any], members: Members | None, *, is_calm: bool) -> DepthSample | None:
    """Return the depth; not to be trusted during an alarm, nor without a majority, when no answer is a 0."""
    depth, unacknowledged = _count(queue.get("messages")), _count(queue.get("messages_unacknowledged", 0))
    if depth is None or unacknowledged is None:
        return None
    is_trusted = is_calm and (members is None or members.has_majority)
    return DepthSample(time.monotonic(), depth, unacknowledged, is_trusted)


def _count(told: object) -> int | None:
    return told if type(told) is int and 0 <= told <= sys.maxsize else None
