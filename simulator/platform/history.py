"""Remember the messages and receipts of each conversation, whether or not a webhook was sent for them."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

KEPT_FIELDS: Final = (
    "id",
    "type",
    "text",
    "content",
    "status",
    "reasons",
    "originatingEntity",
    "isFinalReceipt",
    "direction",
    "metadata",
)
"""The fields of a webhook's body that the history returns; its model has no conversationId."""

KEPT_CHANNEL_FIELDS: Final = ("id", "platform", "type", "messageId", "to", "from", "time")

STATUSES: Final = {
    "Sent": "sent",
    "Published": "published",
    "Delivered": "delivery-success",
    "Read": "read",
    "Failed": "delivery-failed",
    "Removed": "removed",
}
"""The message status that follows from each receipt."""


@dataclass(slots=True)
class PastMessage:
    """One message; `content` and `receipts`, in order of arrival, are ConversationNormalizedMessages.

    `content` is None if only receipts are known.
    """

    message_id: str
    content: dict[str, Any] | None = None
    receipts: list[dict[str, Any]] = field(default_factory=list)

    @property
    def direction(self) -> str:
        """The direction: inbound (from the customer) or outbound."""
        return str((self.content or {}).get("direction") or "Outbound").lower()

    @property
    def time(self) -> str:
        """The message's time in the platform's notation."""
        return str((self.content or {})["channel"]["time"])

    @property
    def status(self) -> str:
        """The status according to the newest receipt."""
        return STATUSES.get(str(self.receipts[-1].get("status")), "sent") if self.receipts else "sent"


@dataclass(slots=True)
class PastConversation:
    """One conversation with its messages by id, in order."""

    conversation_id: str
    start_time: str
    end_time: str | None = None
    messages: dict[str, PastMessage] = field(default_factory=dict)

    @property
    def known_messages(self) -> list[PastMessage]:
        """Every message whose content is known."""
        return [message for message in list(self.messages.values()) if message.content is not None]


class History:
    """The history of every conversation: one thread at a time records, and any may read."""

    def __init__(self) -> None:
        self._conversations: dict[str, PastConversation] = {}

    def record(self, payload: Mapping[str, Any]) -> None:
        """Record a webhook's body, sent or not; recording it again has no effect."""
        conversation_id = payload.get("conversationId")
        if not isinstance(conversation_id, str):
            return
        if "eventType" in payload:
            self._record_guide(conversation_id, payload)
        else:
            self._record_native(conversation_id, payload)

    def end(self, conversation_id: str, at: str) -> None:
        """Record the end of a conversation, if it is known."""
        if found := self._conversations.get(conversation_id):
            found.end_time = at

    def conversation(self, conversation_id: str) -> PastConversation | None:
        """Return one conversation, if it is known."""
        return self._conversations.get(conversation_id)

    def conversations(self) -> list[PastConversation]:
        """Return every conversation, the oldest first."""
        found = list(self._conversations.values())
        return sorted(found, key=lambda one: (one.start_time, one.conversation_id))

    def _record_native(self, conversation_id: str, payload: Mapping[str, Any]) -> None:
        content = as_normalized(payload)
        conversation = self._open(conversation_id, content["channel"]["time"])
        if payload.get("type") == "Event" or "id" not in content:
            return
        message = conversation.messages.setdefault(content["id"], PastMessage(content["id"]))
        if payload.get("type") != "Receipt":
            message.content = message.content or content
        elif content not in message.receipts:
            message.receipts.append(content)

    def _record_guide(self, conversation_id: str, payload: Mapping[str, Any]) -> None:
        """Keep what the history's models can hold of the guide's envelope: the start and the messages."""
        conversation = self._open(conversation_id, payload["timestamp"])
        message = payload.get("message")
        if not isinstance(message, dict):
            return
        # The platform has an id for a message even if the body has none.
        identity = f"{conversation_id} {payload['timestamp']} {payload.get('sequence')} {message.get('text')}"
        message_id = message.get("id") or uuid.uuid5(uuid.NAMESPACE_OID, identity).hex
        channel = {"id": payload["channel"]["externalId"], "platform": "Open", "time": payload["timestamp"]}
        content = {
            "id": message_id,
            "channel": {**channel, "type": "Private", "messageId": message_id},
            "type": "Text",
            "text": message.get("text"),
            "direction": str(message.get("direction", "inbound")).capitalize(),
        }
        conversation.messages.setdefault(message_id, PastMessage(message_id, content))

    def _open(self, conversation_id: str, at: str) -> PastConversation:
        conversation = self._conversations.setdefault(conversation_id, PastConversation(conversation_id, at))
        conversation.start_time = min(conversation.start_time, at)
        return conversation


def as_normalized(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return a body as the history shows it: the platform's model ConversationNormalizedMessage."""
    kept = {name: payload[name] for name in KEPT_FIELDS if payload.get(name) is not None}
    channel = payload["channel"]
    kept["channel"] = {name: channel[name] for name in KEPT_CHANNEL_FIELDS if channel.get(name) is not None}
    return kept
