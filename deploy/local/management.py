"""The part of RabbitMQ's management API that local set-ups use."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import requests

REQUEST_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class ManagementApi:
    """A broker's management API.

    Args:
        url: its root with credentials, such as `http://guest:guest@127.0.0.1:15672`.
    """

    url: str

    def answers(self) -> bool:
        """Tell whether the API takes these credentials and every virtual host is up."""
        try:
            return self._request("GET", "health/checks/virtual-hosts").ok
        except requests.RequestException:
            return False

    def create_virtual_host(self, name: str) -> None:
        """Create a virtual host in which the API's user may do everything."""
        vhost, user = quote(name, safe=""), urlsplit(self.url).username
        self._request("PUT", f"vhosts/{vhost}", {"default_queue_type": "quorum"}).raise_for_status()
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        self._request("PUT", f"permissions/{vhost}/{user}", everything).raise_for_status()

    @contextmanager
    def virtual_host(self, name: str) -> Iterator[str]:
        """Create a virtual host for the time of a `with` block; it goes with its queues and connections."""
        self.create_virtual_host(name)
        try:
            yield name
        finally:
            self._request("DELETE", f"vhosts/{quote(name, safe='')}").raise_for_status()

    def _request(self, method: str, path: str, body: dict[str, Any] | None = None) -> requests.Response:
        return requests.request(method, f"{self.url}/api/{path}", json=body, timeout=REQUEST_SECONDS)


def in_virtual_host(amqp_url: str, name: str) -> str:
    """Return the same broker's address with another virtual host."""
    return urlunsplit(urlsplit(amqp_url)._replace(path="/" + quote(name, safe="")))
