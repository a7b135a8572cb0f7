"""Query RabbitMQ's management API for queue depths, queue members and alarms."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import requests

from messaging.broker import virtual_host
from messaging.topology import QUEUES

TIMEOUT_SECONDS: Final = 2.0
"""Time limit for a request. The API itself sets no limit, and a request that hangs must end soon."""

TOTALS: Final = "disable_stats=true&enable_queue_totals=true"
"""Parameters of the only query that is cheap for the broker and works without its metrics collector."""


@dataclass(frozen=True, slots=True)
class Members:
    """How many nodes have a copy of a queue, as seen from one of them. On a single node, *total* is 1.

    *online*: that node and the connected nodes whose copy runs. *has_leader*: whether one is the leader.
    """

    total: int
    online: int
    has_leader: bool

    @property
    def has_majority(self) -> bool:
        """Whether a majority of the queue's members is online."""
        return self.online * 2 > self.total


@dataclass(frozen=True, slots=True)
class QueueTotals:
    """One node's report on a queue; `members` is None if the queue is not a quorum queue.

    `depth` also counts the `unacknowledged` deliveries, which workers hold. Unknown counts are None, never 0.
    """

    name: str
    depth: int | None
    unacknowledged: int | None
    members: Members | None

    @property
    def has_majority(self) -> bool:
        """Whether the counts can be trusted; without a majority, they are 0 or the last known counts."""
        return self.members is None or self.members.has_majority


class ManagementApi:
    """Calls the management API of one node; *url* is its base address with credentials."""

    def __init__(self, url: str, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._base = f"{url.rstrip('/')}/api"
        self._timeout_seconds = timeout_seconds
        self._http = requests.Session()
        self._prepared: dict[str, tuple[requests.PreparedRequest, Mapping[str, Any]]] = {}

    def get(self, path: str) -> requests.Response:
        """Query a path below /api. Prepare each request only once: preparing it costs as much as sending it.

        Raises requests.RequestException if no answer arrives.
        """
        if path not in self._prepared:
            url = f"{self._base}/{path}"
            request = self._http.prepare_request(requests.Request("GET", url))
            self._prepared[path] = request, self._http.merge_environment_settings(url, {}, None, None, None)
        request, settings = self._prepared[path]
        return self._http.send(request, timeout=self._timeout_seconds, **settings)

    def send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> requests.Response:
        """Send a change to a path below /api; raises requests.RequestException if no answer arrives."""
        return self._http.request(method, f"{self._base}/{path}", json=body, timeout=self._timeout_seconds)

    def has_alarm(self) -> bool:
        """Return whether any node of the cluster has an alarm or does not answer the check."""
        return self.get("health/checks/alarms").status_code != 200

    def read_queue(self, vhost: str, name: str) -> QueueTotals:
        """Return a queue's totals. Can raise any error. *vhost* is a result of `quote_vhost`."""
        answer = self.get(f"queues/{vhost}/{quote(name, safe='')}?{TOTALS}")
        answer.raise_for_status()
        return parse_queue(answer.json())

    def read_queues(self, vhost: str) -> list[QueueTotals]:
        """Return the totals of all queues of a virtual host; raises the errors of `read_queue`."""
        answer = self.get(f"queues/{vhost}?{TOTALS}")
        answer.raise_for_status()
        return [parse_queue(queue) for queue in answer.json()]


def quote_vhost(amqp_urls: tuple[str, ...]) -> str:
    """Return the virtual host in OM_AMQP_URL, quoted for a path; can raise ConfigurationError."""
    return quote(virtual_host(amqp_urls), safe="")


class QueueDepths:
    """Reads the depths of the service's queues from the first node of the broker that answers."""

    def __init__(self, management_urls: Sequence[str], amqp_urls: tuple[str, ...]) -> None:
        self._vhost = quote_vhost(amqp_urls)
        self._apis = [ManagementApi(url) for url in management_urls]

    def read(self) -> dict[str, int]:
        """Return the depths by queue name; a queue whose depth is unknown is left out."""
        for api in self._apis:
            try:
                totals = api.read_queues(self._vhost)
            except (requests.RequestException, ValueError, AttributeError, TypeError, KeyError):
                continue
            return {
                queue.name: queue.depth
                for queue in totals
                if queue.name in QUEUES and queue.depth is not None and queue.has_majority
            }
        return {}


def parse_queue(report: Mapping[str, Any]) -> QueueTotals:
    """Parse the report about one queue in the API's answer.

    `online` is determined when the API is queried: it excludes copies on nodes without a connection to the
    queried node. So a node that is cut off from the others never reports a majority, and a frozen node delays
    the answer. `leader` is only the last recorded leader.

    Source: RabbitMQ 4.0.5, `online` and `format` in rabbit_quorum_queue.erl.
    """
    members = None
    if "members" in report:
        total, online = set(report["members"]), set(report["online"])
        members = Members(len(total), len(total & online), report["leader"] in online)
    unacknowledged = _parse_count(report.get("messages_unacknowledged", 0))
    return QueueTotals(report["name"], _parse_count(report.get("messages")), unacknowledged, members)


def _parse_count(value: object) -> int | None:
    return value if type(value) is int and 0 <= value <= sys.maxsize else None
