"""Take pieces out of the broker through its management API, as a person at its web page could."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

import requests

TIMEOUT_SECONDS = 10.0
VIRTUAL_HOST = "%2F"
EVENTS = "open-messaging.events"
EVERYTHING = {"configure": ".*", "write": ".*", "read": ".*"}


@dataclass(frozen=True, slots=True)
class Damage:
    """What can be taken away, and given back where `omctl setup` cannot.

    Args:
        management_url: With credentials.
    """

    management_url: str

    def delete_exchange(self, name: str) -> None:
        """Delete an exchange with its bindings."""
        self._request("DELETE", f"exchanges/{VIRTUAL_HOST}/{name}")

    def delete_queue(self, name: str) -> None:
        """Delete a queue with everything in it."""
        self._request("DELETE", f"queues/{VIRTUAL_HOST}/{name}")

    def unbind_events(self) -> None:
        """Delete the binding of the events queue."""
        path = f"bindings/{VIRTUAL_HOST}/e/open-messaging/q/{EVENTS}"
        for binding in self._request("GET", path).json():
            self._request("DELETE", f"{path}/{binding['properties_key']}")

    def put_policy(self) -> None:
        """Put a policy on the events queue."""
        definition = {"delivery-limit": 50}
        policy = {"pattern": EVENTS, "definition": definition, "apply-to": "queues"}
        self._request("PUT", f"policies/{VIRTUAL_HOST}/chaos", policy)

    def remove_policy(self) -> None:
        """Remove it again."""
        self._request("DELETE", f"policies/{VIRTUAL_HOST}/chaos")

    def take_permissions(self) -> None:
        """Take every right in the virtual host from the product's user."""
        self._request("DELETE", f"permissions/{VIRTUAL_HOST}/{self._user}")

    def give_permissions(self) -> None:
        """Give them back."""
        self._request("PUT", f"permissions/{VIRTUAL_HOST}/{self._user}", EVERYTHING)

    @property
    def _user(self) -> str:
        return urlsplit(self.management_url).username or "guest"

    def _request(self, method: str, path: str, body: object = None) -> requests.Response:
        answer = requests.request(
            method, f"{self.management_url}/api/{path}", json=body, timeout=TIMEOUT_SECONDS
        )
        answer.raise_for_status()
        return answer
