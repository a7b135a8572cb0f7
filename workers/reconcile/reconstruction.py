"""Reconstruct from the platform's history the events that it sent, or should have sent, as webhooks.

A reconstructed event has the same key as its original, because a native key contains neither conversation nor
time, and a guide key contains the message's id.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from messaging.errors import RejectedEventError
from workers.db.reconcile import DialectProfile
from workers.parsing import CONVERSATION_MESSAGE, EVENT_TYPES, GUIDE, DriftNotes, Event, read_body
from workers.reconcile.platform_history import select_objects


@dataclass(frozen=True, slots=True)
class ReconstructedEvent:
    """An event from the history; `body` is the body of its webhook, from which intake parses `event`."""

    event: Event
    body: bytes = field(repr=False)

    @property
    def key(self) -> str:
        """The event's idempotency key."""
        return self.event.idempotency_key

    @property
    def message_id(self) -> str:
        """The message id with which the event is published; it is the same in every comparison."""
        return f"reconcile-{hashlib.sha256(self.key.encode()).hexdigest()[:32]}"


def reconstruct_events(
    conversation_id: str, data: Mapping[str, Any], profile: DialectProfile
) -> Iterator[ReconstructedEvent | None]:
    """Yield the events that a message from the history (MessageData) represents; None for an unknown form."""
    build = _build_guide if profile.dialect == GUIDE else _build_native
    for payload in build(conversation_id, data):
        if profile.has_receipts or payload.get("type") != "Receipt":
            yield _parse(payload)


def _parse(payload: Mapping[str, Any]) -> ReconstructedEvent | None:
    body = json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")
    try:
        [event] = read_body(body, DriftNotes(), EVENT_TYPES)
    except (RejectedEventError, ValueError):
        return None
    return ReconstructedEvent(event, body)


def _build_native(conversation_id: str, data: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the native bodies for a message from the history: a message to the customer, and receipts."""
    message = data.get("normalizedMessage")
    if isinstance(message, dict) and _read_direction(data, message) == "outbound":
        yield _complete(conversation_id, data, message)
    for receipt in select_objects(data.get("normalizedReceipts")):
        yield _complete(conversation_id, data, receipt)


def _build_guide(conversation_id: str, data: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a message from the history, in either direction, in the guide's envelope."""
    content = data.get("normalizedMessage")
    if not isinstance(content, dict):
        return
    whole = _complete(conversation_id, data, content)
    message = {name: whole[name] for name in ("id", "text", "content") if whole.get(name) is not None}
    yield {
        "eventType": CONVERSATION_MESSAGE,
        "conversationId": conversation_id,
        "timestamp": whole["channel"]["time"],
        "channel": {"type": "custom", "externalId": whole["channel"].get("id")},
        "message": {**message, "direction": _read_direction(data, content)},
    }


def _complete(conversation_id: str, data: Mapping[str, Any], content: Mapping[str, Any]) -> dict[str, Any]:
    """Return *content* with those fields of a notification that the history stores outside the content."""
    channel = content.get("channel")
    return {
        **content,
        "id": content.get("id") or data.get("id"),
        "direction": content.get("direction") or str(data.get("direction", "outbound")).capitalize(),
        "channel": {"time": data.get("timestamp"), **(channel if isinstance(channel, dict) else {})},
        "conversationId": conversation_id,
    }


def _read_direction(data: Mapping[str, Any], content: Mapping[str, Any]) -> str:
    return str(content.get("direction") or data.get("direction")).lower()
