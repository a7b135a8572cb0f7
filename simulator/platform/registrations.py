"""Remember what is registered: the guide's webhooks and the Open Messaging integrations.

Source:
    The guide, "Registering the Webhook"; the models OpenIntegration and OpenIntegrationRequest of the
    official Python SDK, release 269.
"""

from __future__ import annotations

import threading
import uuid
from typing import Any, Final

SHORTEST_SECRET: Final = 16
"""The platform's own: "must be longer than 15 characters"."""

URL: Final = "outboundNotificationWebhookUrl"
SECRET: Final = "outboundNotificationWebhookSignatureSecretToken"  # noqa: S105  a field's name
HEADERS: Final = "webhookHeaders"

_WEBHOOK_FIELDS: Final = ("name", "description", "target", "eventFilters", "retryPolicy", "enabled")
_INTEGRATION_FIELDS: Final = ("name", URL, SECRET, HEADERS)


class InvalidRegistrationError(ValueError):
    """Answer 400 with this text: the platform refuses such a registration."""


class Registrations:
    """What is registered, each under its id; every method may be called by any thread.

    Args:
        shows_secrets: Whether reading an integration gives its secret. The platform's model has the field;
            that it is filled was seen, and is documented nowhere.
    """

    def __init__(self, *, shows_secrets: bool = True) -> None:
        self.webhooks: dict[str, dict[str, Any]] = {}
        self.integrations: dict[str, dict[str, Any]] = {}
        self.shows_secrets = shows_secrets
        self._lock = threading.Lock()

    def create_webhook(self, body: dict[str, Any]) -> dict[str, Any]:
        """Register a webhook of the guide's."""
        _check_webhook(body)
        webhook_id = str(uuid.uuid4())
        webhook = {"id": webhook_id, "enabled": True} | _chosen(body, _WEBHOOK_FIELDS)
        with self._lock:
            self.webhooks[webhook_id] = webhook
        return webhook

    def replace_webhook(self, webhook_id: str, body: dict[str, Any]) -> dict[str, Any] | None:
        """Put a webhook in the place of another; None where there is none."""
        _check_webhook(body)
        with self._lock:
            if webhook_id not in self.webhooks:
                return None
            webhook = {"id": webhook_id, "enabled": True} | _chosen(body, _WEBHOOK_FIELDS)
            self.webhooks[webhook_id] = webhook
            return webhook

    def create_integration(self, body: dict[str, Any]) -> dict[str, Any]:
        """Register an integration; it is being made until it is read for the first time."""
        _check_integration(body)
        integration_id = str(uuid.uuid4())
        made = {"id": integration_id, "status": "Active", "createStatus": "Initiated", HEADERS: {}}
        integration = made | _chosen(body, _INTEGRATION_FIELDS)
        with self._lock:
            self.integrations[integration_id] = integration
        return self._shown(integration)

    def change_integration(self, integration_id: str, body: dict[str, Any]) -> dict[str, Any] | None:
        """Change some fields of an integration; None where there is none."""
        with self._lock:
            if integration_id not in self.integrations:
                return None
            changed = self.integrations[integration_id] | _chosen(body, _INTEGRATION_FIELDS)
            _check_integration(changed)
            self.integrations[integration_id] = changed
            return self._shown(changed)

    def read_integration(self, integration_id: str) -> dict[str, Any] | None:
        """Return one integration as the platform shows it; None where there is none."""
        with self._lock:
            integration = self.integrations.get(integration_id)
            if integration is None:
                return None
            shown = self._shown(integration)
            if integration["createStatus"] == "Initiated":
                integration["createStatus"] = "Completed"
            return shown

    def list_integrations(self) -> list[dict[str, Any]]:
        """Return every integration as the platform shows it."""
        with self._lock:
            return [self._shown(each) for each in self.integrations.values()]

    def remove(self, registered_id: str) -> bool:
        """Remove a webhook or an integration; tell whether there was one."""
        with self._lock:
            found = self.webhooks.pop(registered_id, None) or self.integrations.pop(registered_id, None)
            return found is not None

    def secret_of(self, registered_id: str) -> bytes:
        """Return the secret that signs what is posted to a registration; empty if it has none.

        A webhook as the guide registers it (authType none) has none. `target.secret` is the simulator's own.
        """
        with self._lock:
            integration = self.integrations.get(registered_id, {})
            target = self.webhooks.get(registered_id, {}).get("target", {})
        return str(integration.get(SECRET) or target.get("secret") or "").encode()

    def _shown(self, integration: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in integration.items() if self.shows_secrets or name != SECRET}


def _chosen(body: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: body[name] for name in names if name in body}


def _check_webhook(body: dict[str, Any]) -> None:
    target = body.get("target")
    if not body.get("name") or not isinstance(target, dict) or not target.get("url"):
        raise InvalidRegistrationError("name and target.url are required")
    if not isinstance(body.get("eventFilters", []), list):
        raise InvalidRegistrationError("eventFilters must be a list")


def _check_integration(body: dict[str, Any]) -> None:
    if not all(body.get(name) for name in ("name", URL, SECRET)):
        raise InvalidRegistrationError(f"name, {URL} and {SECRET} are required")
    if len(body[SECRET]) < SHORTEST_SECRET:
        raise InvalidRegistrationError(f"{SECRET} must be longer than 15 characters")
