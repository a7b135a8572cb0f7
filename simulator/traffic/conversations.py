"""Generate conversations: in the guide's envelope, and in the bodies that Genesys Cloud actually posts.

Source:
    "Implementing Open Messaging Webhooks for Custom Social Channels", the sample payload and the filters. The
    outbound normalised message of Genesys Cloud's Open Messaging documentation and schema; typing, quick
    replies and receipts follow published samples.
"""

import random
import uuid
from collections.abc import Iterator
from typing import Final

from simulator.traffic.event import ConversationClock, Payload, SimulatedEvent

INTEGRATION_ID: Final = "e6b352de-ecd0-49c7-94de-7787418869bc"
CHANNEL: Final = {
    "type": "custom",
    "externalId": "custom-social-channel-01",
    "name": "Custom Social Integration",
}
MINOR_CHANGES: Final = ("whisperNote", "wrapUpCode", "priorityLabel")
"""Attributes whose change the platform posts as `updated` although no routing state changed."""
# Short, in several scripts, with characters that break careless encoders.
PHRASES: Final = (
    "Hello, is anybody there?",
    "My parcel has not arrived.",
    "Hi 👋",
    "Grüße aus Köln, ich hätte gern eine Auskunft.",
    "注文の状況を教えてください。",
    'She said "tomorrow",\nand a \\ besides.',
    "السلام عليكم",
    "👩‍👩‍👧‍👦 family tariff, please",
    "One moment, I am looking it up.",
    "Thank you, that is all.",
)


def guide_conversation(rng: random.Random, clock: ConversationClock) -> Iterator[SimulatedEvent]:
    """Yield the events of one conversation in the guide's envelope, oldest first, without end.

    The customer writes, is queued, writes again and is routed to an agent; then the conversation goes on with
    minor changes in between. A message has an id, a sequence number or neither: social platforms differ.
    """
    chat = _GuideConversation(rng, clock)
    yield chat.new()
    for status in ("CONTACT-QUEUED", "CONTACT-ROUTED"):
        for _ in range(rng.randint(1, 3)):
            yield chat.message()
        yield chat.updated(routing={"status": status, "queueId": f"queue-{chat.customer % 7}"})
    while True:
        yield chat.message()
        # A busy routing queue emits about as many.
        if rng.random() < 0.3:
            yield chat.updated(attributes={rng.choice(MINOR_CHANGES): f"change {chat.sequence}"})


class _GuideConversation:
    def __init__(self, rng: random.Random, clock: ConversationClock) -> None:
        self._rng = rng
        self._clock = clock
        self._conversation_id = str(uuid.UUID(int=rng.getrandbits(128), version=4))
        self._identified_by = rng.choice(("message id", "sequence", "nothing"))
        self.customer = rng.randint(100_000, 999_999)
        self.sequence = 0

    def new(self) -> SimulatedEvent:
        name = f"customer:{self.customer}"
        address = {"name": f"Customer {self.customer}", "email": f"customer-{self.customer}@example.com"}
        token = f"constructed-token-{self.customer}"
        introduction = {
            "participants": [{"id": f"ext:{name}", "role": "customer", "address": address}],
            "metadata": {"customChannelToken": token, "platformOrigin": "facebook-custom-connector"},
        }
        return SimulatedEvent(
            "new", guide_envelope("new", self._conversation_id, self._clock.advance()) | introduction
        )

    def message(self) -> SimulatedEvent:
        """Return a message, sometimes in the same millisecond as the previous event."""
        self.sequence += 1
        payload = guide_envelope("message", self._conversation_id, self._clock.advance_or_collide())
        inbound = self._rng.random() < 0.6  # customers write a little more than agents
        payload["message"] = {
            "text": f"{self._rng.choice(PHRASES)} ({self.sequence})",
            "direction": "inbound" if inbound else "outbound",
            "from": f"ext:customer:{self.customer}" if inbound else "agent",
        }
        if self._identified_by == "message id":
            payload["message"]["id"] = f"{self._rng.getrandbits(128):032x}"
        elif self._identified_by == "sequence":
            payload["sequence"] = self.sequence
        return SimulatedEvent("message", payload)

    def updated(self, **changes: object) -> SimulatedEvent:
        """Return a change, never in the same millisecond as another change."""
        return SimulatedEvent(
            "updated", guide_envelope("updated", self._conversation_id, self._clock.advance()) | changes
        )


def native_conversation(rng: random.Random, clock: ConversationClock) -> Iterator[SimulatedEvent]:
    """Yield the events of one conversation as Genesys Cloud posts them, oldest first, without end.

    Agents and bots write, with typing before and receipts after. A receipt has the id of its message, and one
    message has several receipts, so an id alone identifies nothing.
    """
    conversation_id = str(uuid.UUID(int=rng.getrandbits(128), version=4))
    customer = f"user-{rng.randint(100_000, 999_999)}"

    def body(message_id: str, timestamp: str) -> Payload:
        channel = native_channel(message_id, customer, timestamp)
        return {"id": message_id, "channel": channel, "conversationId": conversation_id}

    while True:
        message_id = f"{rng.getrandbits(128):032x}"
        if rng.random() < 0.3:  # only some messages are preceded by typing
            typing = {"eventType": "Typing", "typing": {"type": "On", "duration": 5000}}
            payload = body(f"{rng.getrandbits(128):032x}", clock.advance())
            payload |= {"type": "Event", "events": [typing], "direction": "Outbound"}
            yield SimulatedEvent("typing", payload)
        yield SimulatedEvent("message", {**body(message_id, clock.advance_or_collide()), **_content(rng)})
        for status, final in (("Published", False), ("Delivered", True)):
            if rng.random() < 0.4:  # not every social channel reports both
                receipt = {"type": "Receipt", "status": status, "isFinalReceipt": final}
                payload = {**body(message_id, clock.advance()), **receipt, "direction": "Outbound"}
                yield SimulatedEvent("receipt", payload)


def native_channel(
    message_id: str,
    customer: str,
    time: str,
    integration_id: str = INTEGRATION_ID,
    name: str = "Open Messaging",
) -> Payload:
    """Return the channel of a body that the platform sends through an integration of this name."""
    return {
        "id": integration_id,
        "platform": "Open",
        "type": "Private",
        "messageId": message_id,
        "to": {"id": customer, "idType": "Opaque"},
        "from": {"nickname": name, "id": integration_id, "idType": "Opaque"},
        "time": time,
    }


def guide_envelope(kind: str, conversation_id: str, timestamp: str) -> Payload:
    """Return what all events have in common in the guide's envelope."""
    return {
        "eventType": f"openmessaging:conversation:{kind}",
        "conversationId": conversation_id,
        "timestamp": timestamp,
        "channel": dict(CHANNEL),
    }


def _content(rng: random.Random) -> Payload:
    content: Payload = {"type": "Text", "text": rng.choice(PHRASES), "originatingEntity": "Human"}
    content["direction"] = "Outbound"
    if rng.random() < 0.2:  # bots ask with quick replies now and then
        answers = [{"text": word, "payload": word, "action": "Message"} for word in ("Yes", "No")]
        replies = [{"contentType": "QuickReply", "quickReply": answer} for answer in answers]
        content |= {"type": "Structured", "originatingEntity": "Bot", "content": replies}
    return content
