"""Let a customer and an agent exchange messages, and post each event to every registered webhook.

Source:
    The guide's sample payload and filters. Outbound messages follow the normalised message in
    Genesys Cloud's Open Messaging documentation. Receipts follow published samples.
"""

import secrets
import threading
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from simulator.platform.organisation import Conversation, Organisation, Participant
from simulator.platform.registrations import HEADERS, URL, ApiError
from simulator.traffic import guide_envelope, native_channel, platform_timestamp
from workers.filters import FilterError, check_filter

QUEUE: Final = "simulated-queue"
AGENT: Final = "simulated-agent"
compile_filter: Final = lru_cache(check_filter)
WAITING: Final = "waiting in the queue"
ENDED: Final = "ended"


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message of a chat; `author` is "customer" or "agent"."""

    author: str
    text: str
    time: str
    message_id: str


@dataclass(slots=True)
class Chat:
    """One conversation with its messages; `last` is the time of its newest event."""

    conversation: Conversation
    customer: str
    messages: list[ChatMessage] = field(default_factory=list)
    last: datetime = datetime(1970, 1, 1, tzinfo=UTC)

    def now(self) -> str:
        """Return the current time in the platform's notation, later than any earlier event of this chat."""
        self.last = max(datetime.now(UTC), self.last + timedelta(milliseconds=1))
        return platform_timestamp(self.last)

    @property
    def state(self) -> str:
        """The chat's state in words: waiting in the queue, with the agent, or ended."""
        if self.conversation.end_time:
            return ENDED
        return "with the agent" if len(self.conversation.participants) > 2 else WAITING

    def native_body(self, message: ChatMessage, integration_id: str, name: str) -> dict[str, Any]:
        """Return the native body of an agent's message, or of the receipt for a customer's message."""
        body = {
            "id": message.message_id,
            "channel": native_channel(message.message_id, self.customer, message.time, integration_id, name),
            "conversationId": self.conversation.conversation_id,
        }
        if message.author == "agent":
            content = {"type": "Text", "text": message.text, "originatingEntity": "Human"}
            return body | content | {"direction": "Outbound"}
        receipt = {"type": "Receipt", "status": "Published", "isFinalReceipt": True}
        return body | receipt | {"direction": "Inbound"}


class Chats:
    """The chats of an organisation; safe for use by several threads."""

    def __init__(self, organisation: Organisation) -> None:
        self._organisation = organisation
        self._chats: dict[str, Chat] = {}
        self._lock = threading.Lock()

    def all(self) -> list[Chat]:
        """Return every chat, the newest first."""
        return list(self._chats.values())[::-1]

    def begin(self, customer: str, text: str, *, is_lost: bool = False) -> tuple[str, str]:
        """Begin a conversation, which waits in a routing queue; return its id and the first message's id."""
        conversation_id = str(uuid.uuid4())
        parties = [Participant("customer"), Participant("acd", queue_id=QUEUE)]
        chat = Chat(Conversation(conversation_id, "", participants=parties), customer)
        at = chat.conversation.start_time = chat.now()
        address = {"name": customer, "email": "customer@example.com"}
        new = {
            "participants": [{"id": f"ext:customer:{customer}", "role": "customer", "address": address}],
            "metadata": {"platformOrigin": "simulated-page"},
        }
        with self._lock:
            self._organisation.put(chat.conversation)
            self._chats[conversation_id] = chat
            self._post_event(chat, "new", at, new, is_lost=is_lost)
            message_id = self._add_message(chat, "customer", text, is_lost=is_lost)
            self._route(chat, "CONTACT-QUEUED")
        return conversation_id, message_id

    def continue_or_begin(self, customer: str, text: str) -> tuple[str, str]:
        """Write in the customer's open conversation, or begin one; return its id and the message's id."""
        for chat in self.all():
            if chat.customer == customer and chat.state != ENDED:
                conversation_id = chat.conversation.conversation_id
                return conversation_id, self.write(conversation_id, "customer", text)
        return self.begin(customer, text)

    def write(self, conversation_id: str, author: str, text: str, *, is_lost: bool = False) -> str:
        """Write a message and return its id; the agent's first answer ends the wait in the routing queue."""
        with self._lock:
            chat = self._open_chat(conversation_id)
            if author == "agent" and chat.state == WAITING:
                chat.conversation.participants.append(Participant("agent", QUEUE, AGENT))
                self._organisation.put(chat.conversation)
                self._route(chat, "CONTACT-ROUTED")
            return self._add_message(chat, author, text, is_lost=is_lost)

    def end(self, conversation_id: str) -> None:
        """End a conversation. No webhook reports the end."""
        with self._lock:
            chat = self._open_chat(conversation_id)
            chat.conversation.end_time = chat.now()
            self._organisation.put(chat.conversation)
            self._organisation.history.end(conversation_id, chat.conversation.end_time)

    def _open_chat(self, conversation_id: str) -> Chat:
        chat = self._chats.get(conversation_id)
        if chat is None or chat.state == ENDED:
            raise ApiError(409, "conflict", "This conversation has ended.")
        return chat

    def _route(self, chat: Chat, status: str) -> None:
        content = {"routing": {"status": status, "queueId": QUEUE}}
        self._post_event(chat, "updated", chat.now(), content, is_lost=False)

    def _add_message(self, chat: Chat, author: str, text: str, *, is_lost: bool) -> str:
        message = ChatMessage(author, text, chat.now(), secrets.token_hex(16))
        chat.messages.append(message)
        content = {
            "id": message.message_id,
            "text": text,
            "direction": "outbound" if author == "agent" else "inbound",
            "from": "agent" if author == "agent" else f"ext:customer:{chat.customer}",
        }
        self._post_event(chat, "message", message.time, {"message": content}, is_lost=is_lost)
        for integration_id, integration in list(self._organisation.registrations.integrations.items()):
            body = chat.native_body(message, integration_id, integration["name"])
            self._post(integration_id, integration[URL], integration.get(HEADERS), body, is_lost=is_lost)
        return message.message_id

    def _post_event(self, chat: Chat, kind: str, at: str, content: dict[str, Any], *, is_lost: bool) -> None:
        body = guide_envelope(kind, chat.conversation.conversation_id, at) | content
        for webhook in list(self._organisation.registrations.webhooks.values()):
            if webhook["enabled"] and is_subscribed(webhook, body):
                target = webhook["target"]
                self._post(webhook["id"], target["url"], target.get("headers"), body, is_lost=is_lost)

    def _post(
        self, owner: str, url: str, headers: dict[str, str] | None, body: dict[str, Any], *, is_lost: bool
    ) -> None:
        self._organisation.history.record(body)
        if is_lost:
            self._organisation.outbound.lose(owner, body)
        else:
            self._organisation.outbound.send(owner, url, headers or {}, body)


def is_subscribed(webhook: dict[str, Any], body: dict[str, Any]) -> bool:
    """Return whether a filter of the webhook matches. A filter that cannot be evaluated does not match."""
    filters = webhook.get("eventFilters") or ()
    for expression in (one.get("filter") for one in filters if one.get("eventType") == body["eventType"]):
        with suppress(FilterError):
            if not expression or compile_filter(expression).evaluate(body):
                return True
    return False
