"""Serve the page and what its script asks."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, jsonify, request

from simulator.platform.registrations import URL
from simulator.platform.talks import Talk, TalkOverError

if TYPE_CHECKING:
    from simulator.platform.organisation import Organisation
    from simulator.platform.outbound import Delivery
    from simulator.platform.page.fates import Fates
    from simulator.platform.talks import Talks

MOST_SHOWN = 200
LONGEST_TEXT = 2_000
"""The platform's own limit of a message."""


def page_routes(organisation: Organisation, talks: Talks, fates: Fates | None) -> Blueprint:
    """Return the page.

    Args:
        organisation: What is played with.
        talks: What is said in it.
        fates: Says what became of a webhook behind the edge; None where nobody can.
    """
    page = Blueprint("page", __name__, static_folder="static", static_url_path="/page")
    page.register_error_handler(TalkOverError, lambda error: (jsonify(message=str(error)), 409))

    @page.get("/")
    def show() -> Response:
        """Return the page itself."""
        return page.send_static_file("page.html")

    @page.get("/page/state")
    def state() -> Response:
        """Return everything that the page shows."""
        deliveries = list(organisation.outbound.deliveries)[-MOST_SHOWN:][::-1]
        known = fates.of([each.payload for each in deliveries]) if fates else [None] * len(deliveries)
        return jsonify(
            registrations=_registrations(organisation),
            conversations=[_as_conversation(each) for each in talks.all()],
            deliveries=[_as_delivery(*each) for each in zip(deliveries, known, strict=True)],
        )

    @page.post("/page/conversations")
    def begin() -> tuple[Response, int]:
        """Begin a conversation."""
        wish = _wish()
        customer = str(wish.get("customer") or "customer-1")[:100]
        conversation_id, _ = talks.begin(customer, wish["text"], is_lost=wish["lost"])
        return jsonify(id=conversation_id), 201

    @page.post("/page/conversations/<conversation_id>/<any(customer, agent):who>")
    def say(conversation_id: str, who: str) -> tuple[Response, int]:
        """Write as the customer, or answer as the agent."""
        wish = _wish()
        talks.say(conversation_id, who, wish["text"], is_lost=wish["lost"])
        return jsonify(id=conversation_id), 201

    @page.post("/page/conversations/<conversation_id>/end")
    def end(conversation_id: str) -> tuple[Response, int]:
        """End a conversation."""
        request.get_json()
        talks.end(conversation_id)
        return jsonify(id=conversation_id), 200

    return page


def _wish() -> dict[str, Any]:
    """Return what the script asks for; only a script of this very page can send JSON here."""
    wish = request.get_json()
    text = str(wish.get("text") or "").strip()[:LONGEST_TEXT] or "…"
    return {**wish, "text": text, "lost": bool(wish.get("lost"))}


def _registrations(organisation: Organisation) -> list[dict[str, Any]]:
    registrations = organisation.registrations
    webhooks = [
        {"kind": "webhook", "id": each["id"], "name": each["name"], "url": each["target"]["url"]}
        for each in list(registrations.webhooks.values())
    ]
    integrations = [
        {"kind": "integration", "id": each["id"], "name": each["name"], "url": each[URL]}
        for each in list(registrations.integrations.values())
    ]
    return integrations + webhooks


def _as_conversation(talk: Talk) -> dict[str, Any]:
    return {
        "id": talk.conversation.conversation_id,
        "customer": talk.customer,
        "state": talk.state,
        "said": [asdict(each) for each in talk.said],
    }


def _as_delivery(delivery: Delivery, fate: str | None) -> dict[str, Any]:
    payload = delivery.payload
    return {
        "id": delivery.delivery_id,
        "conversation": payload.get("conversationId"),
        "kind": _kind_of(payload),
        "state": delivery.state,
        "tries": [
            {"status": status, "milliseconds": round(seconds * 1000)} for status, seconds in delivery.tries
        ],
        "time": delivery.began_at.isoformat(timespec="seconds"),
        "fate": fate,
        "payload": payload,
    }


def _kind_of(payload: dict[str, Any]) -> str:
    if "eventType" in payload:
        return str(payload["eventType"]).removeprefix("openmessaging:conversation:")
    kind = str(payload.get("type")).lower()
    return f"{kind}, {payload['status']}".lower() if "status" in payload else kind
