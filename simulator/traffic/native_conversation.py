"""Tell a conversation in the bodies that Genesys Cloud really posts.

Source: the outbound normalised message of Genesys Cloud's Open Messaging documentation and schema; typing,
quick replies and receipts after published samples.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from simulator.traffic.event import Happening, Payload
from simulator.traffic.phrases import phrase

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from simulator.traffic.pace import Pace

INTEGRATION_ID = "e6b352de-ecd0-49c7-94de-7787418869bc"


def native_conversation(rng: random.Random, pace: Pace) -> Iterator[Happening]:
    """Yield the events of one conversation, oldest first, without end.

    Agents and bots write, with typing before and receipts after. A receipt carries the id of the message that
    it is about, and one message has several receipts, so an id alone identifies nothing.
    """
    conversation_id = str(uuid.UUID(int=rng.getrandbits(128), version=4))
    customer = f"user-{rng.randint(100_000, 999_999)}"

    def event(message_id: str, timestamp: str) -> Payload:
        return {
            "id": message_id,
            "channel": _channel(message_id, customer, timestamp),
            "conversationId": conversation_id,
        }

    while True:
        message_id = f"{rng.getrandbits(128):032x}"
        if rng.random() < 0.3:  # typing is shown before some messages only
            typing = {"eventType": "Typing", "typing": {"type": "On", "duration": 5000}}
            payload = event(f"{rng.getrandbits(128):032x}", pace.advance())
            yield Happening(
                "typing", {**payload, "type": "Event", "events": [typing], "direction": "Outbound"}
            )
        yield Happening("message", {**event(message_id, pace.advance_or_collide()), **_said(rng)})
        for status, final in (("Published", False), ("Delivered", True)):
            if rng.random() < 0.4:  # not every social channel reports both
                receipt = {
                    "type": "Receipt",
                    "status": status,
                    "isFinalReceipt": final,
                    "direction": "Outbound",
                }
                yield Happening("receipt", {**event(message_id, pace.advance()), **receipt})


def _channel(message_id: str, customer: str, timestamp: str) -> Payload:
    return {
        "id": INTEGRATION_ID,
        "platform": "Open",
        "type": "Private",
        "messageId": message_id,
        "to": {"id": customer, "idType": "Opaque"},
        "from": {"nickname": "Open Messaging", "id": INTEGRATION_ID, "idType": "Opaque"},
        "time": timestamp,
    }


def _said(rng: random.Random) -> Payload:
    said: Payload = {
        "type": "Text",
        "text": phrase(rng),
        "originatingEntity": "Human",
        "direction": "Outbound",
    }
    if rng.random() < 0.2:  # bots ask with quick replies now and then
        answers = [{"text": word, "payload": word, "action": "Message"} for word in ("Yes", "No")]
        content = [{"contentType": "QuickReply", "quickReply": answer} for answer in answers]
        said |= {"type": "Structured", "originatingEntity": "Bot", "content": content}
    return said
