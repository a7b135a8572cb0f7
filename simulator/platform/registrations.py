"""What is registered: the guide's webhooks and the Open Messaging integrations, and the API over them.

Source:
    The guide, "Registering the Webhook"; the models OpenIntegration and OpenIntegrationRequest of the
    official Python SDK, release 269.
"""

import uuid
from collections.abc import Callable, Sequence
from typing import Any, Final

from flask import Blueprint, Response, jsonify, request

MIN_SECRET_LENGTH: Final = 16
"""The platform's own limit: "must be longer than 15 characters"."""

URL: Final = "outboundNotificationWebhookUrl"
SECRET: Final = "outboundNotificationWebhookSignatureSecretToken"  # noqa: S105  a field's name
HEADERS: Final = "webhookHeaders"
WEBHOOKS: Final = "/integrations/webhooks"
INTEGRATIONS: Final = "/conversations/messaging/integrations/open"
PAGE_SIZE: Final = 25

_WEBHOOK_FIELDS: Final = ("name", "description", "target", "eventFilters", "retryPolicy", "enabled")
_INTEGRATION_FIELDS: Final = ("name", URL, SECRET, HEADERS)


class ApiError(Exception):
    """Answer with this status and text; *retry_after*: seconds of that header, None for none."""

    def __init__(self, status: int, code: str, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.retry_after = retry_after

    def render(self) -> Response:
        """Return the answer in the form of the platform's model ErrorBody."""
        body = {"message": str(self), "code": self.code, "status": self.status, "contextId": uuid.uuid4().hex}
        response = jsonify(body | {"details": [], "errors": []})
        response.status_code = self.status
        if self.retry_after is not None:
            response.headers["Retry-After"] = str(self.retry_after)
        return response


class NotFoundError(ApiError):
    """Answer 404."""

    def __init__(self) -> None:
        super().__init__(404, "not.found", "The requested resource was not found.")


class Registrations:
    """Webhooks and integrations by id; safe for use by several threads, as each change sets one item.

    `shows_secrets`: whether reading an integration returns its secret. The platform's model has the field; it
    was seen filled, but this is not documented.
    """

    def __init__(self, *, shows_secrets: bool = True) -> None:
        self.webhooks: dict[str, dict[str, Any]] = {}
        self.integrations: dict[str, dict[str, Any]] = {}
        self.shows_secrets = shows_secrets

    def register_both(self, url: str, headers: dict[str, str], secret: str, *, is_signed: bool) -> None:
        """Register an edge as the guide's webhook and, if there is a secret, as an integration.

        The webhook is signed only if the edge accepts nothing unsigned.
        """
        target = {"type": "http", "url": url, "headers": headers, "authType": "none"}
        target |= {"secret": secret} if is_signed else {}
        if secret:
            self.create_integration({"name": "Simulated", URL: url, SECRET: secret, HEADERS: headers})
        types = (f"openmessaging:conversation:{kind}" for kind in ("new", "message", "updated"))
        filters = [{"eventType": event_type, "filter": ""} for event_type in types]
        self.put_webhook({"name": "Simulated", "target": target, "eventFilters": filters})

    def put_webhook(self, body: dict[str, Any], webhook_id: str | None = None) -> dict[str, Any]:
        """Register one of the guide's webhooks, or replace one."""
        webhook_id = _find(self.webhooks, webhook_id)["id"] if webhook_id else str(uuid.uuid4())
        target = body.get("target")
        if not body.get("name") or not isinstance(target, dict) or not target.get("url"):
            raise ApiError(400, "bad.request", "name and target.url are required")
        if not isinstance(body.get("eventFilters", []), list):
            raise ApiError(400, "bad.request", "eventFilters must be a list")
        webhook = {"id": webhook_id, "enabled": True} | _select(body, _WEBHOOK_FIELDS)
        self.webhooks[webhook_id] = webhook
        return webhook

    def create_integration(self, body: dict[str, Any]) -> dict[str, Any]:
        """Register an integration; its createStatus is Initiated until it is read for the first time."""
        _check_integration(body)
        integration_id = str(uuid.uuid4())
        created = {"id": integration_id, "status": "Active", "createStatus": "Initiated", HEADERS: {}}
        integration = created | _select(body, _INTEGRATION_FIELDS)
        self.integrations[integration_id] = integration
        return self._shown(integration)

    def change_integration(self, integration_id: str, body: dict[str, Any]) -> dict[str, Any]:
        """Change some fields of an integration."""
        changed = _find(self.integrations, integration_id) | _select(body, _INTEGRATION_FIELDS)
        _check_integration(changed)
        self.integrations[integration_id] = changed
        return self._shown(changed)

    def read_integration(self, registration_id: str) -> dict[str, Any]:
        """Return one integration as the platform shows it."""
        integration = _find(self.integrations, registration_id)
        shown = self._shown(integration)
        if integration["createStatus"] == "Initiated":
            integration["createStatus"] = "Completed"
        return shown

    def list_integrations(self) -> list[dict[str, Any]]:
        """Return every integration as the platform shows it."""
        return [self._shown(integration) for integration in list(self.integrations.values())]

    def remove(self, registration_id: str) -> None:
        """Remove a webhook or an integration."""
        webhook = self.webhooks.pop(registration_id, None)
        if webhook is None and self.integrations.pop(registration_id, None) is None:
            raise NotFoundError

    def secret_for(self, registration_id: str) -> bytes:
        """Return the secret that signs what is posted to a registration; empty if it has none.

        A webhook as the guide registers it (authType none) has none. `target.secret` is the simulator's own.
        """
        integration = self.integrations.get(registration_id, {})
        target = self.webhooks.get(registration_id, {}).get("target", {})
        return str(integration.get(SECRET) or target.get("secret") or "").encode()

    def _shown(self, integration: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in integration.items() if self.shows_secrets or name != SECRET}


def _find(registered: dict[str, dict[str, Any]], registration_id: str) -> dict[str, Any]:
    if registration_id not in registered:
        raise NotFoundError
    return registered[registration_id]


def _select(body: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: body[name] for name in names if name in body}


def _check_integration(body: dict[str, Any]) -> None:
    if not all(body.get(name) for name in ("name", URL, SECRET)):
        raise ApiError(400, "bad.request", f"name, {URL} and {SECRET} are required")
    if len(body[SECRET]) < MIN_SECRET_LENGTH:
        raise ApiError(400, "bad.request", f"{SECRET} must be longer than 15 characters")


def registration_routes(
    registrations: Registrations, statistics: Callable[[str], dict[str, Any]]
) -> Blueprint:
    """Return the API over registrations; *statistics* takes a webhook's id."""
    routes = Blueprint("registrations", __name__)

    def read_statistics(registration_id: str) -> dict[str, Any]:
        _find(registrations.webhooks, registration_id)
        return {"webhookId": registration_id, **statistics(registration_id)}

    def remove(registration_id: str) -> tuple[str, int]:
        registrations.remove(registration_id)
        return "", 204

    webhook, integration = f"{WEBHOOKS}/<registration_id>", f"{INTEGRATIONS}/<registration_id>"
    views: dict[tuple[str, str], Callable[..., Any]] = {
        ("GET", WEBHOOKS): lambda: _page(list(registrations.webhooks.values())),
        ("POST", WEBHOOKS): lambda: registrations.put_webhook(request.get_json()),
        ("GET", webhook): lambda registration_id: _find(registrations.webhooks, registration_id),
        ("PUT", webhook): lambda registration_id: registrations.put_webhook(
            request.get_json(), registration_id
        ),
        ("DELETE", webhook): remove,
        ("GET", f"{webhook}/statistics"): read_statistics,
        ("GET", INTEGRATIONS): lambda: _page(registrations.list_integrations()),
        ("POST", INTEGRATIONS): lambda: registrations.create_integration(request.get_json()),
        ("GET", integration): registrations.read_integration,
        ("PATCH", integration): lambda registration_id: registrations.change_integration(
            registration_id, request.get_json()
        ),
        ("DELETE", integration): remove,
    }
    for (method, path), view in views.items():
        routes.add_url_rule(path, f"{method} {path}", view, methods=[method])
    return routes


def _page(entities: Sequence[dict[str, Any]]) -> Response:
    """Return a page of a listing, with the fields of the platform's listings."""
    size = request.args.get("pageSize", PAGE_SIZE, int)
    number = request.args.get("pageNumber", 1, int)
    page = entities[(number - 1) * size : number * size]
    count = max(1, -(-len(entities) // size))
    return jsonify(entities=page, pageSize=size, pageNumber=number, pageCount=count, total=len(entities))
