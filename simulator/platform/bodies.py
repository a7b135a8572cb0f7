"""Write what happened in both forms: the guide's envelope, and what Genesys Cloud really posts.

Source:
    The guide, the sample payload and its filters; the outbound normalised message of Genesys Cloud's Open
    Messaging documentation, receipts after published samples.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Protocol

CHANNEL: Final = {
    "type": "custom",
    "externalId": "custom-social-channel-01",
    "name": "Custom Social Integration",
}


class Event(Protocol):
    """Something that happened in a conversation."""

    def in_guide_s_form(self) -> dict[str, Any]:
        """Return it in the guide's envelope."""

    def in_native_form(self, integration_id: str, name: str) -> dict[str, Any] | None:
        """Return what the integration's webhook is posted; None where it is told nothing of such events."""


@dataclass(frozen=True, slots=True)
class Change:
    """A conversation begins, or is routed: the real webhook tells neither."""

    kind: str
    conversation_id: str
    time: str
    more: dict[str, Any] = field(default_factory=dict)

    def in_guide_s_form(self) -> dict[str, Any]:
        """Return it in the guide's envelope."""
        return _envelope(self.kind, self.conversation_id, self.time) | self.more

    def in_native_form(self, _integration_id: str, _name: str) -> None:
        """Return nothing."""


@dataclass(frozen=True, slots=True)
class Message:
    """Somebody says something."""

    conversation_id: str
    customer: str
    message_id: str
    time: str
    text: str
    from_agent: bool

    def in_guide_s_form(self) -> dict[str, Any]:
        """Return the message in the guide's envelope."""
        message = {
            "id": self.message_id,
            "text": self.text,
            "direction": "outbound" if self.from_agent else "inbound",
            "from": "agent" if self.from_agent else f"ext:customer:{self.customer}",
        }
        return _envelope("message", self.conversation_id, self.time) | {"message": message}

    def in_native_form(self, integration_id: str, name: str) -> dict[str, Any]:
        """Return the agent's message, or the receipt for the customer's: theirs came from the integrator."""
        body: dict[str, Any] = {
            "id": self.message_id,
            "channel": {
                "id": integration_id,
                "platform": "Open",
                "type": "Private",
                "messageId": self.message_id,
                "to": {"id": self.customer, "idType": "Opaque"},
                "from": {"nickname": name, "id": integration_id, "idType": "Opaque"},
                "time": self.time,
            },
            "conversationId": self.conversation_id,
        }
        if self.from_agent:
            said = {"type": "Text", "text": self.text, "originatingEntity": "Human"}
            return body | said | {"direction": "Outbound"}
        receipt = {"type": "Receipt", "status": "Published", "isFinalReceipt": True}
        return body | receipt | {"direction": "Inbound"}


def new(conversation_id: str, time: str, customer: str) -> Change:
    """Return that a conversation begins."""
    address = {"name": customer, "email": "customer@example.com"}
    participant = {"id": f"ext:customer:{customer}", "role": "customer", "address": address}
    metadata = {"platformOrigin": "simulated-page"}
    return Change("new", conversation_id, time, {"participants": [participant], "metadata": metadata})


def routed(conversation_id: str, time: str, status: str, queue: str) -> Change:
    """Return that a conversation has come to another routing state."""
    return Change("updated", conversation_id, time, {"routing": {"status": status, "queueId": queue}})


def _envelope(kind: str, conversation_id: str, time: str) -> dict[str, Any]:
    return {
        "eventType": f"openmessaging:conversation:{kind}",
        "conversationId": conversation_id,
        "timestamp": time,
        "channel": CHANNEL,
    }
