"""Answer for registrations: create, read, list, change, remove."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from flask import Blueprint, Response, jsonify, request

from simulator.platform.answers import error
from simulator.platform.registrations import InvalidRegistrationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulator.platform.organisation import Organisation

WEBHOOKS: Final = "/integrations/webhooks"
INTEGRATIONS: Final = "/conversations/messaging/integrations/open"
PAGE_SIZE: Final = 25


def registration_routes(organisation: Organisation) -> Blueprint:
    """Return the views over what an organisation has registered."""
    routes = Blueprint("registrations", __name__)
    routes.register_error_handler(InvalidRegistrationError, _refused)
    _add_webhooks(routes, organisation)
    _add_integrations(routes, organisation)
    return routes


def _add_webhooks(routes: Blueprint, organisation: Organisation) -> None:
    registrations = organisation.registrations

    @routes.get(WEBHOOKS)
    def list_webhooks() -> Response:
        """List the guide's webhooks."""
        return _page(list(registrations.webhooks.values()))

    @routes.post(WEBHOOKS)
    def create_webhook() -> Response:
        """Register a webhook."""
        return jsonify(registrations.create_webhook(request.get_json()))

    @routes.get(f"{WEBHOOKS}/<webhook_id>")
    def read_webhook(webhook_id: str) -> tuple[Response, int]:
        """Return one webhook."""
        return _found(registrations.webhooks.get(webhook_id))

    @routes.put(f"{WEBHOOKS}/<webhook_id>")
    def replace_webhook(webhook_id: str) -> tuple[Response, int]:
        """Put another one in its place."""
        return _found(registrations.replace_webhook(webhook_id, request.get_json()))

    @routes.delete(f"{WEBHOOKS}/<webhook_id>")
    def remove_webhook(webhook_id: str) -> tuple[Response | str, int]:
        """Remove it."""
        return ("", 204) if registrations.remove(webhook_id) else _found(None)

    @routes.get(f"{WEBHOOKS}/<webhook_id>/statistics")
    def statistics(webhook_id: str) -> tuple[Response, int]:
        """Return how its deliveries went."""
        webhook = registrations.webhooks.get(webhook_id)
        return _found(webhook and {"webhookId": webhook_id, **organisation.outbound.statistics(webhook_id)})


def _add_integrations(routes: Blueprint, organisation: Organisation) -> None:
    registrations = organisation.registrations

    @routes.get(INTEGRATIONS)
    def list_integrations() -> Response:
        """List the Open Messaging integrations."""
        return _page(registrations.list_integrations())

    @routes.post(INTEGRATIONS)
    def create_integration() -> Response:
        """Register an integration."""
        return jsonify(registrations.create_integration(request.get_json()))

    @routes.get(f"{INTEGRATIONS}/<integration_id>")
    def read_integration(integration_id: str) -> tuple[Response, int]:
        """Return one integration."""
        return _found(registrations.read_integration(integration_id))

    @routes.patch(f"{INTEGRATIONS}/<integration_id>")
    def change_integration(integration_id: str) -> tuple[Response, int]:
        """Change some of its fields."""
        return _found(registrations.change_integration(integration_id, request.get_json()))

    @routes.delete(f"{INTEGRATIONS}/<integration_id>")
    def remove_integration(integration_id: str) -> tuple[Response | str, int]:
        """Remove it."""
        return ("", 204) if registrations.remove(integration_id) else _found(None)


def _page(entities: Sequence[dict[str, Any]]) -> Response:
    """Return a page of a listing, with the fields that every listing of the platform has."""
    size = request.args.get("pageSize", PAGE_SIZE, int)
    number = request.args.get("pageNumber", 1, int)
    chosen = entities[(number - 1) * size : number * size]
    count = max(1, -(-len(entities) // size))
    return jsonify(entities=chosen, pageSize=size, pageNumber=number, pageCount=count, total=len(entities))


def _found(entity: dict[str, Any] | None) -> tuple[Response, int]:
    if entity is None:
        return error(404, "not.found", "The requested resource was not found.")
    return jsonify(entity), 200


def _refused(reason: InvalidRegistrationError) -> tuple[Response, int]:
    return error(400, "bad.request", str(reason))
