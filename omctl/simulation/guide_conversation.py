"""Tell a conversation in the guide's envelope.

Source: "Implementing Open Messaging Webhooks for Custom Social Channels", the sample payload and the filters.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from omctl.simulation.event import Happening, Payload
from omctl.simulation.phrases import phrase

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from omctl.simulation.pace import Pace

MINOR_CHANGES = ("whisperNote", "wrapUpCode", "priorityLabel")
"""What the platform tells by `updated` though no routing state changed."""


def guide_conversation(rng: random.Random, pace: Pace) -> Iterator[Happening]:
    """Yield the events of one conversation, oldest first, without end.

    The customer writes, is queued, writes on, is routed to an agent, and the talk goes on with minor changes
    in between. A message may carry a message id, a sequence number, or neither: social platforms differ.
    """
    conversation_id = str(uuid.UUID(int=rng.getrandbits(128), version=4))
    customer = rng.randint(100_000, 999_999)
    identified = rng.choice(("message-id", "sequence", "nothing"))

    def event(event_type: str, timestamp: str) -> Payload:
        return {
            "eventType": f"openmessaging:conversation:{event_type}",
            "conversationId": conversation_id,
            "timestamp": timestamp,
            "channel": _channel(),
        }

    def message(sequence: int) -> Happening:
        payload = event("message", pace.advance_or_collide())
        payload["message"] = _message(rng, customer, sequence)
        if identified == "message-id":
            payload["message"]["id"] = f"{rng.getrandbits(128):032x}"
        elif identified == "sequence":
            payload["sequence"] = sequence
        return Happening("message", payload)

    def update(**changes: object) -> Happening:
        return Happening("updated", {**event("updated", pace.advance()), **changes})

    yield Happening("new", {**event("new", pace.advance()), **_introduction(customer)})
    sequence = 0
    for status in ("CONTACT-QUEUED", "CONTACT-ROUTED"):
        for _ in range(rng.randint(1, 3)):
            sequence += 1
            yield message(sequence)
        yield update(routing={"status": status, "queueId": f"queue-{customer % 7}"})
    while True:
        sequence += 1
        yield message(sequence)
        if rng.random() < 0.3:  # a busy routing queue emits about as many
            yield update(attributes={rng.choice(MINOR_CHANGES): f"change {sequence}"})


def _channel() -> Payload:
    return {"type": "custom", "externalId": "custom-social-channel-01", "name": "Custom Social Integration"}


def _introduction(customer: int) -> Payload:
    address = {"name": f"Customer {customer}", "email": f"customer-{customer}@example.com"}
    return {
        "participants": [{"id": f"ext:customer:{customer}", "role": "customer", "address": address}],
        "metadata": {
            "customChannelToken": f"constructed-token-{customer}",
            "platformOrigin": "facebook-custom-connector",
        },
    }


def _message(rng: random.Random, customer: int, sequence: int) -> Payload:
    inbound = rng.random() < 0.6  # customers write a little more than agents
    return {
        "text": f"{phrase(rng)} ({sequence})",
        "direction": "inbound" if inbound else "outbound",
        "from": f"ext:customer:{customer}" if inbound else "agent",
    }
