"""Write again, out of the platform's history, what it notified or should have notified.

A copy has the key of its original: a native one's has neither conversation nor time in it, a guide's has the
message's id (docs/decisions/0210-what-is-recovered.md).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from messaging.errors import RejectedEventError
from workers.parsing import CONVERSATION_MESSAGE, EVENT_TYPES, GUIDE, DriftNotes, read_body

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from workers.db.reconcile import Manner
    from workers.parsing import Event


@dataclass(frozen=True, slots=True)
class Copy:
    """An event out of the history.

    Args:
        event: As intake will read it.
        body: As the webhook would have brought it.
    """

    event: Event
    body: bytes = field(repr=False)


def copies_of(conversation_id: str, data: Mapping[str, Any], manner: Manner) -> Iterator[Copy | None]:
    """Yield each event that a message of the history stands for; None for one in a form that is not known.

    Args:
        conversation_id: Whose message.
        data: The platform's model MessageData.
        manner: How the conversation's events are notified.
    """
    bodies = _guide(conversation_id, data) if manner.dialect == GUIDE else _native(conversation_id, data)
    for body in bodies:
        if manner.has_receipts or body.get("type") != "Receipt":
            yield _copy_of(body)


def _copy_of(payload: Mapping[str, Any]) -> Copy | None:
    body = json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")
    try:
        [event] = read_body(body, DriftNotes(), EVENT_TYPES)
    except (RejectedEventError, ValueError):
        return None
    return Copy(event, body)


def _native(conversation_id: str, data: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what the platform posts: what went out to the customer, and the receipts."""
    said = data.get("normalizedMessage")
    if isinstance(said, dict) and _direction_of(data, said) == "outbound":
        yield _completed(conversation_id, data, said)
    receipts = data.get("normalizedReceipts")
    for receipt in receipts if isinstance(receipts, list) else ():
        if isinstance(receipt, dict):
            yield _completed(conversation_id, data, receipt)


def _completed(conversation_id: str, data: Mapping[str, Any], content: Mapping[str, Any]) -> dict[str, Any]:
    """Add what a notification has and the history has elsewhere."""
    channel = content.get("channel")
    return {
        **content,
        "id": content.get("id") or data.get("id"),
        "direction": content.get("direction") or str(data.get("direction", "outbound")).capitalize(),
        "channel": {"time": data.get("timestamp"), **(channel if isinstance(channel, dict) else {})},
        "conversationId": conversation_id,
    }


def _guide(conversation_id: str, data: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the guide's envelope of a message, whoever wrote it."""
    said = data.get("normalizedMessage")
    if not isinstance(said, dict):
        return
    whole = _completed(conversation_id, data, said)
    message = {name: whole[name] for name in ("id", "text", "content") if whole.get(name) is not None}
    yield {
        "eventType": CONVERSATION_MESSAGE,
        "conversationId": conversation_id,
        "timestamp": whole["channel"]["time"],
        "channel": {"type": "custom", "externalId": whole["channel"].get("id")},
        "message": {**message, "direction": _direction_of(data, said)},
    }


def _direction_of(data: Mapping[str, Any], said: Mapping[str, Any]) -> str:
    return str(said.get("direction") or data.get("direction")).lower()
