"""Store the guide's webhooks and the Open Messaging integrations, and serve them through the API.

Source:
    The guide, "Registering the Webhook"; the models OpenIntegration and OpenIntegrationRequest of the
    official Python SDK, release 269.
"""

import uuid
from collections.abc import Callable, Mapping
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
    """Respond with this status and text, and with a Retry-After header unless *retry_after* is None."""

    def __init__(self, status: int, code: str, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.retry_after = retry_after

    def render(self) -> Response:
        """Return the response as the platform's API model ErrorBody."""
        body = {"message": str(self), "code": self.code, "status": self.status, "contextId": uuid.uuid4().hex}
        response = jsonify(body | {"details": [], "errors": []})
        response.status_code = self.status
        if self.retry_after is not None:
            response.headers["Retry-After"] = str(self.retry_after)
        return response


class NotFoundError(ApiError):
    """Respond with status 404."""

    def __init__(self) -> None:
        super().__init__(404, "not.found", "The requested resource was not found.")


class Registrations:
    """The registered webhooks and integrations by id; thread-safe, because each change sets one item."""

    def __init__(self) -> None:
        self.webhooks: dict[str, dict[str, Any]] = {}
        self.integrations: dict[str, dict[str, Any]] = {}
        # Real responses contain an integration's secret, as does the API model, but this is undocumented.
        self.shows_secrets = True

    def register_both(self, url: str, headers: dict[str, str], secret: str, *, is_signed: bool) -> None:
        """Register an edge as the guide's webhook and, if there is a secret, as an integration."""
        target = {"type": "http", "url": url, "headers": headers, "authType": "none"}
        target |= {"secret": secret} if is_signed else {}
        if secret:
            self.create_integration({"name": "Simulated", URL: url, SECRET: secret, HEADERS: headers})
        types = (f"openmessaging:conversation:{kind}" for kind in ("new", "message", "updated"))
        filters = [{"eventType": event_type, "filter": ""} for event_type in types]
        self.put_webhook({"name": "Simulated", "target": target, "eventFilters": filters})

    def put_webhook(self, body: dict[str, Any], webhook_id: str | None = None) -> dict[str, Any]:
        """Register one of the guide's webhooks; with *webhook_id*, replace that webhook."""
        webhook_id = _find(self.webhooks, webhook_id)["id"] if webhook_id else str(uuid.uuid4())
        target = body.get("target")
        if not body.get("name") or not isinstance(target, dict) or not target.get("url"):
            raise ApiError(400, "bad.request", "name and target.url are required")
        if not isinstance(body.get("eventFilters", []), list):
            raise ApiError(400, "bad.request", "eventFilters must be a list")
        read_delays(body)
        webhook = {"id": webhook_id, "enabled": True} | _select(body, _WEBHOOK_FIELDS)
        self.webhooks[webhook_id] = webhook
        return webhook

    def create_integration(self, body: dict[str, Any]) -> dict[str, Any]:
        """Register an integration. Its createStatus is Initiated until the integration is first read."""
        created = {"id": str(uuid.uuid4()), "status": "Active", "createStatus": "Initiated", HEADERS: {}}
        return self._change(created, body)

    def change_integration(self, integration_id: str, body: dict[str, Any]) -> dict[str, Any]:
        """Change those fields of an integration that *body* contains."""
        return self._change(_find(self.integrations, integration_id), body)

    def _change(self, integration: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
        changed = integration | _select(body, _INTEGRATION_FIELDS)
        if not all(changed.get(name) for name in ("name", URL, SECRET)):
            raise ApiError(400, "bad.request", f"name, {URL} and {SECRET} are required")
        if len(changed[SECRET]) < MIN_SECRET_LENGTH:
            raise ApiError(400, "bad.request", f"{SECRET} must be longer than 15 characters")
        self.integrations[changed["id"]] = changed
        return self.show(changed)

    def read_integration(self, key: str) -> dict[str, Any]:
        """Return one integration as the API shows it, and complete its creation."""
        integration = _find(self.integrations, key)
        shown = self.show(integration)
        if integration["createStatus"] == "Initiated":
            integration["createStatus"] = "Completed"
        return shown

    def secret_for(self, registration_id: str) -> bytes:
        """Return the secret that signs the webhooks of a registration; empty if it has none.

        The guide's webhook (authType none) has no secret; its `target.secret` exists only in this simulator.
        """
        integration = self.integrations.get(registration_id, {})
        target = self.webhooks.get(registration_id, {}).get("target", {})
        return str(integration.get(SECRET) or target.get("secret") or "").encode()

    def show(self, integration: dict[str, Any]) -> dict[str, Any]:
        """Return an integration as the API shows it: without its secret unless `shows_secrets` is set."""
        return {name: value for name, value in integration.items() if self.shows_secrets or name != SECRET}


def read_delays(webhook: Mapping[str, Any]) -> tuple[float, ...] | None:
    """Return the delay in seconds before each retry under a webhook's retryPolicy; None if it has none."""
    if (policy := webhook.get("retryPolicy")) is None:
        return None
    try:
        interval, factor = float(policy["retryIntervalSeconds"]), float(policy["backoffMultiplier"])
        return tuple(interval * factor**retry for retry in range(min(policy["maxRetries"], 100)))
    except (KeyError, TypeError, ValueError, OverflowError):
        raise ApiError(400, "bad.request", "retryPolicy must contain the guide's three numbers") from None


def _find(registered: dict[str, dict[str, Any]], registration_id: str) -> dict[str, Any]:
    if registration_id not in registered:
        raise NotFoundError
    return registered[registration_id]


def _select(body: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: body[name] for name in names if name in body}


def registration_routes(
    registrations: Registrations, statistics: Callable[[str], dict[str, Any]]
) -> Blueprint:
    """Return the API's routes for registrations. *statistics* maps a webhook's id to its totals."""
    routes = Blueprint("registrations", __name__)

    def read_page(registered: Mapping[str, dict[str, Any]]) -> Response:
        entities = [registrations.show(one) for one in list(registered.values())]
        size = request.args.get("pageSize", PAGE_SIZE, int)
        number = request.args.get("pageNumber", 1, int)
        page = entities[(number - 1) * size : number * size]
        count = max(1, -(-len(entities) // size))
        return jsonify(entities=page, pageSize=size, pageNumber=number, pageCount=count, total=len(entities))

    def read_statistics(key: str) -> dict[str, Any]:
        return {"webhookId": _find(registrations.webhooks, key)["id"], **statistics(key)}

    def remove(key: str) -> tuple[str, int]:
        for registered in (registrations.webhooks, registrations.integrations):
            if registered.pop(key, None) is not None:
                return "", 204
        raise NotFoundError

    webhook, integration = f"{WEBHOOKS}/<key>", f"{INTEGRATIONS}/<key>"
    views: dict[tuple[str, str], Callable[..., Any]] = {
        ("GET", WEBHOOKS): lambda: read_page(registrations.webhooks),
        ("POST", WEBHOOKS): lambda: registrations.put_webhook(request.get_json()),
        ("GET", webhook): lambda key: _find(registrations.webhooks, key),
        ("PUT", webhook): lambda key: registrations.put_webhook(request.get_json(), key),
        ("DELETE", webhook): remove,
        ("GET", f"{webhook}/statistics"): read_statistics,
        ("GET", INTEGRATIONS): lambda: read_page(registrations.integrations),
        ("POST", INTEGRATIONS): lambda: registrations.create_integration(request.get_json()),
        ("GET", integration): registrations.read_integration,
        ("PATCH", integration): lambda key: registrations.change_integration(key, request.get_json()),
        ("DELETE", integration): remove,
    }
    for (method, path), view in views.items():
        routes.add_url_rule(path, f"{method} {path}", view, methods=[method])
    return routes
