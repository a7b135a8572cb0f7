"""Remember what was said in each conversation, whether or not anybody was notified of it."""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

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
"""What the history has of a notification: its model has no conversationId, and nothing that is unknown."""

KEPT_CHANNEL_FIELDS: Final = ("id", "platform", "type", "messageId", "to", "from", "time")

STATUSES: Final = {
    "Sent": "sent",
    "Published": "published",
    "Delivered": "delivery-success",
    "Read": "read",
    "Failed": "delivery-failed",
    "Removed": "removed",
}
"""What a receipt makes of its message's status."""


@dataclass(slots=True)
class PastMessage:
    """One message, with what became of it.

    Args:
        message_id: The platform's.
        content: The message as the platform's model ConversationNormalizedMessage; None until it is known.
        receipts: Likewise, in the order in which they came.
    """

    message_id: str
    content: dict[str, Any] | None = None
    receipts: list[dict[str, Any]] = field(default_factory=list)

    @property
    def direction(self) -> str:
        """inbound: from the customer; outbound: to them."""
        return str((self.content or {}).get("direction") or "Outbound").lower()

    @property
    def time(self) -> str:
        """When it was said, as the platform writes times."""
        return str((self.content or {})["channel"]["time"])

    @property
    def status(self) -> str:
        """What the newest receipt says, in the word of the history."""
        return STATUSES.get(str(self.receipts[-1].get("status")), "sent") if self.receipts else "sent"


@dataclass(slots=True)
class PastConversation:
    """One conversation.

    Args:
        conversation_id: The platform's.
        start_time: When it began.
        end_time: When it ended; None while it goes on.
        messages: By their ids, in the order in which they were said.
    """

    conversation_id: str
    start_time: str
    end_time: str | None = None
    messages: dict[str, PastMessage] = field(default_factory=dict)

    @property
    def said(self) -> list[PastMessage]:
        """Every message whose content is known."""
        return [each for each in list(self.messages.values()) if each.content is not None]


class History:
    """What every conversation holds; may be used by any thread."""

    def __init__(self) -> None:
        self._conversations: dict[str, PastConversation] = {}
        self._lock = threading.Lock()

    def record(self, payload: Mapping[str, Any]) -> None:
        """Take note of a notification, sent or not; one that is known changes nothing."""
        conversation_id = payload.get("conversationId")
        if not isinstance(conversation_id, str):
            return
        with self._lock:
            if "eventType" in payload:
                self._record_guide(conversation_id, payload)
            else:
                self._record_native(conversation_id, payload)

    def end(self, conversation_id: str, at: str) -> None:
        """Note that a conversation is over."""
        with self._lock:
            self._conversations[conversation_id].end_time = at

    def conversation(self, conversation_id: str) -> PastConversation | None:
        """Return one conversation; None where there is none."""
        with self._lock:
            return self._conversations.get(conversation_id)

    def conversations(self) -> Iterable[PastConversation]:
        """Return all of them, the oldest first."""
        with self._lock:
            return sorted(
                self._conversations.values(), key=lambda each: (each.start_time, each.conversation_id)
            )

    def _record_native(self, conversation_id: str, payload: Mapping[str, Any]) -> None:
        content = as_normalized(payload)
        conversation = self._opened(conversation_id, content["channel"]["time"])
        if payload.get("type") == "Event" or "id" not in content:
            return
        message = conversation.messages.setdefault(content["id"], PastMessage(content["id"]))
        if payload.get("type") != "Receipt":
            message.content = message.content or content
        elif content not in message.receipts:
            message.receipts.append(content)

    def _record_guide(self, conversation_id: str, payload: Mapping[str, Any]) -> None:
        """Keep of the guide's envelope what the history's models have room for: start and messages."""
        conversation = self._opened(conversation_id, payload["timestamp"])
        said = payload.get("message")
        if not isinstance(said, dict):
            return
        # Where the notification names no id the platform has one all the same.
        identity = f"{conversation_id} {payload['timestamp']} {payload.get('sequence')} {said.get('text')}"
        message_id = said.get("id") or uuid.uuid5(uuid.NAMESPACE_OID, identity).hex
        channel = {"id": payload["channel"]["externalId"], "platform": "Open", "time": payload["timestamp"]}
        content = {
            "id": message_id,
            "channel": {**channel, "type": "Private", "messageId": message_id},
            "type": "Text",
            "text": said.get("text"),
            "direction": str(said.get("direction", "inbound")).capitalize(),
        }
        conversation.messages.setdefault(message_id, PastMessage(message_id, content))

    def _opened(self, conversation_id: str, at: str) -> PastConversation:
        conversation = self._conversations.setdefault(conversation_id, PastConversation(conversation_id, at))
        conversation.start_time = min(conversation.start_time, at)
        return conversation


def as_normalized(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return a notification as the history tells it: the platform's model ConversationNormalizedMessage."""
    kept = {name: payload[name] for name in KEPT_FIELDS if payload.get(name) is not None}
    channel = payload["channel"]
    kept["channel"] = {name: channel[name] for name in KEPT_CHANNEL_FIELDS if channel.get(name) is not None}
    return kept
