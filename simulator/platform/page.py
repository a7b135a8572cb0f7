"""Serve a page on which an integrator plays customer and agent, and sees the result of each webhook."""

from collections.abc import Sequence
from dataclasses import asdict
from hashlib import sha256
from typing import Any, Final

from flask import Blueprint, Response, jsonify, request
from sqlalchemy import Engine, select
from sqlalchemy.exc import SQLAlchemyError

from simulator.platform.chats import Chats
from simulator.platform.organisation import Organisation
from simulator.platform.outbound import WebhookDelivery
from simulator.platform.registrations import URL
from simulator.traffic import compact
from workers.db.engine import make_engine
from workers.db.models import dead_letters, processed_events

MAX_DELIVERIES_SHOWN: Final = 200
MAX_TEXT_LENGTH: Final = 2_000
"""The platform's own limit on a message's length, in characters."""


def page_routes(organisation: Organisation, chats: Chats, database_url: str) -> Blueprint:
    """Return the routes of the page and of the requests that its script sends."""
    page = Blueprint("page", __name__, static_folder="static", static_url_path="/page")
    engine = make_engine(database_url) if database_url else None

    page.add_url_rule("/", "show", lambda: page.send_static_file("page.html"))

    @page.get("/page/state")
    def state() -> Response:
        deliveries = list(organisation.outbound.deliveries)[-MAX_DELIVERIES_SHOWN:][::-1]
        outcomes = _look_up(engine, deliveries) if engine else [None] * len(deliveries)
        registrations = _registrations(organisation)
        names = {one["id"]: f"{one['kind']} “{one['name']}”" for one in registrations}
        return jsonify(
            registrations=registrations,
            conversations=[
                {
                    "id": chat.conversation.conversation_id,
                    "customer": chat.customer,
                    "state": chat.state,
                    "messages": [asdict(message) for message in chat.messages],
                }
                for chat in chats.all()
            ],
            deliveries=[
                _as_delivery(delivery, outcome, names.get(delivery.registration_id, "removed"))
                for delivery, outcome in zip(deliveries, outcomes, strict=True)
            ],
        )

    _add_actions(page, chats)
    return page


def _look_up(engine: Engine, deliveries: Sequence[WebhookDelivery]) -> list[str | None]:
    """Return what the workers did with each delivery, or None if the database has no record or is down."""
    digests = [sha256(compact(delivery.payload)).digest() for delivery in deliveries]
    events, dead = processed_events.c, dead_letters.c
    outcomes = select(events.body_sha256, events.outcome).where(events.body_sha256.in_(digests))
    codes = select(dead.body_sha256, dead.code).where(dead.body_sha256.in_(digests))
    try:
        with engine.connect() as connection:
            known = {bytes(digest): f"dead letter: {code}" for digest, code in connection.execute(codes)}
            known |= {bytes(digest): str(outcome) for digest, outcome in connection.execute(outcomes)}
    except SQLAlchemyError:
        known = {}
    return [known.get(digest) for digest in digests]


def _add_actions(page: Blueprint, chats: Chats) -> None:
    @page.post("/page/conversations")
    def begin() -> tuple[Response, int]:
        text, is_lost = _message()
        customer = str(request.get_json().get("customer") or "customer-1")[:100]
        conversation_id, _ = chats.begin(customer, text, is_lost=is_lost)
        return jsonify(id=conversation_id), 201

    @page.post("/page/conversations/<conversation_id>/<any(customer, agent):author>")
    def write(conversation_id: str, author: str) -> tuple[Response, int]:
        text, is_lost = _message()
        chats.write(conversation_id, author, text, is_lost=is_lost)
        return jsonify(id=conversation_id), 201

    @page.post("/page/conversations/<conversation_id>/end")
    def end(conversation_id: str) -> Response:
        request.get_json()
        chats.end(conversation_id)
        return jsonify(id=conversation_id)


def _message() -> tuple[str, bool]:
    """Return a message's text, and whether its webhooks get lost. Require JSON: no web form can send it."""
    body = request.get_json()
    return str(body.get("text") or "").strip()[:MAX_TEXT_LENGTH] or "…", bool(body.get("lost"))


def _registrations(organisation: Organisation) -> list[dict[str, Any]]:
    registrations = organisation.registrations
    found = [("integration", one, one[URL]) for one in list(registrations.integrations.values())]
    found += [("webhook", one, one["target"]["url"]) for one in list(registrations.webhooks.values())]
    return [{"kind": kind, "id": one["id"], "name": one["name"], "url": url} for kind, one, url in found]


def _as_delivery(delivery: WebhookDelivery, outcome: str | None, registration: str) -> dict[str, Any]:
    return {
        "id": delivery.delivery_id,
        "kind": _kind(delivery.payload),
        "registration": registration,
        "state": delivery.state,
        "attempts": [
            {"status": status, "milliseconds": round(seconds * 1000)} for status, seconds in delivery.attempts
        ],
        "time": delivery.began_at.isoformat(timespec="seconds"),
        "outcome": outcome,
        "payload": delivery.payload,
    }


def _kind(payload: dict[str, Any]) -> str:
    if "eventType" in payload:
        return str(payload["eventType"]).removeprefix("openmessaging:conversation:")
    kind = str(payload.get("type")).lower()
    return f"{kind}, {payload['status']}".lower() if "status" in payload else kind
