"""Generate conversations in the guide's envelope, and in the bodies that Genesys Cloud actually posts.

Source:
    "Implementing Open Messaging Webhooks for Custom Social Channels", the sample payload and the filters.
    Outbound messages follow the normalised message in Genesys Cloud's Open Messaging documentation and
    schema. Typing, quick replies and receipts follow published samples.
"""

import random
import uuid
from collections.abc import Iterator
from itertools import count
from typing import Final

from simulator.traffic.event import ConversationClock, Payload

INTEGRATION_ID: Final = "e6b352de-ecd0-49c7-94de-7787418869bc"
CHANNEL: Final = {
    "type": "custom",
    "externalId": "custom-social-channel-01",
    "name": "Custom Social Integration",
}
MINOR_CHANGES: Final = ("whisperNote", "wrapUpCode", "priorityLabel")
"""Attributes that change while the routing state does not; the platform posts `updated` for them too."""
# Short phrases in several scripts, with characters that careless encoders break.
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


def guide_conversation(rng: random.Random, clock: ConversationClock) -> Iterator[Payload]:
    """Yield the events of one conversation in the guide's envelope, oldest first, indefinitely.

    The messages have an id, a sequence number or neither, because social platforms differ in this.
    """
    conversation_id = str(uuid.UUID(int=rng.getrandbits(128), version=4))
    identified_by = rng.choice(("message id", "sequence", "nothing"))
    customer = rng.randint(100_000, 999_999)
    sequence, changes = count(1), count(1)

    def message() -> Payload:
        """Return a message's event, which sometimes has the same timestamp as the previous event."""
        envelope = guide_envelope("message", conversation_id, clock.advance_or_collide())
        return envelope | _message(rng, customer, identified_by, next(sequence))

    def updated(**changed: object) -> Payload:
        """Return an update, which never has the same timestamp as another update."""
        return guide_envelope("updated", conversation_id, clock.advance()) | changed

    yield guide_envelope("new", conversation_id, clock.advance()) | _introduction(customer)
    for status in ("CONTACT-QUEUED", "CONTACT-ROUTED"):
        for _ in range(rng.randint(1, 3)):
            yield message()
        yield updated(routing={"status": status, "queueId": f"queue-{customer % 7}"})
    while True:
        yield message()
        # In a busy routing queue, about this share of messages is followed by a minor change.
        if rng.random() < 0.3:
            yield updated(attributes={rng.choice(MINOR_CHANGES): f"change {next(changes)}"})


def _introduction(customer: int) -> Payload:
    address = {"name": f"Customer {customer}", "email": f"customer-{customer}@example.com"}
    token = f"constructed-token-{customer}"
    return {
        "participants": [{"id": f"ext:customer:{customer}", "role": "customer", "address": address}],
        "metadata": {"customChannelToken": token, "platformOrigin": "facebook-custom-connector"},
    }


def _message(rng: random.Random, customer: int, identified_by: str, number: int) -> Payload:
    inbound = rng.random() < 0.6  # customers write a little more than agents
    message = {
        "text": f"{rng.choice(PHRASES)} ({number})",
        "direction": "inbound" if inbound else "outbound",
        "from": f"ext:customer:{customer}" if inbound else "agent",
    }
    if identified_by == "message id":
        message["id"] = f"{rng.getrandbits(128):032x}"
    return {"message": message} | ({"sequence": number} if identified_by == "sequence" else {})


def native_conversation(rng: random.Random, clock: ConversationClock) -> Iterator[Payload]:
    """Yield the events of one conversation as Genesys Cloud posts them, oldest first, indefinitely.

    Agents and bots write messages. Some follow a typing event, and some get receipts. A receipt has the id
    of its message. As a message can have several receipts, an id alone does not identify an event.
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
            event = {"type": "Event", "events": [typing], "direction": "Outbound"}
            yield body(f"{rng.getrandbits(128):032x}", clock.advance()) | event
        yield body(message_id, clock.advance_or_collide()) | _content(rng)
        for status, final in (("Published", False), ("Delivered", True)):
            if rng.random() < 0.4:  # not every social channel reports both
                receipt = {"type": "Receipt", "status": status, "isFinalReceipt": final}
                yield body(message_id, clock.advance()) | receipt | {"direction": "Outbound"}


def native_channel(
    message_id: str,
    customer: str,
    time: str,
    integration_id: str = INTEGRATION_ID,
    name: str = "Open Messaging",
) -> Payload:
    """Return the `channel` of a body that the platform sends through the integration *name*."""
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
    """Return the fields that all events in the guide's envelope have."""
    return {
        "eventType": f"openmessaging:conversation:{kind}",
        "conversationId": conversation_id,
        "timestamp": timestamp,
        "channel": dict(CHANNEL),
    }


def _content(rng: random.Random) -> Payload:
    content: Payload = {"type": "Text", "text": rng.choice(PHRASES), "originatingEntity": "Human"}
    content["direction"] = "Outbound"
    if rng.random() < 0.2:  # bots sometimes offer quick replies
        answers = [{"text": word, "payload": word, "action": "Message"} for word in ("Yes", "No")]
        replies = [{"contentType": "QuickReply", "quickReply": answer} for answer in answers]
        content |= {"type": "Structured", "originatingEntity": "Bot", "content": replies}
    return content
