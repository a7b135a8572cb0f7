"""Tell a conversation in the guide's envelope.

Source: "Implementing Open Messaging Webhooks for Custom Social Channels", the sample payload and the filters.
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

MINOR_CHANGES = ("whisperNote", "wrapUpCode", "priorityLabel")
"""What the platform tells by `updated` though no routing state changed."""


def guide_conversation(rng: random.Random, pace: Pace) -> Iterator[Happening]:
    """Yield the events of one conversation, oldest first, without end.

    The customer writes, is queued, writes on, is routed to an agent, and the talk goes on with minor changes
    in between. A message may carry a message id, a sequence number, or neither: social platforms differ.
    """
    talk = _Talk(rng, pace)
    yield talk.new()
    for status in ("CONTACT-QUEUED", "CONTACT-ROUTED"):
        for _ in range(rng.randint(1, 3)):
            yield talk.message()
        yield talk.updated(routing={"status": status, "queueId": f"queue-{talk.customer % 7}"})
    while True:
        yield talk.message()
        # A busy routing queue emits about as many.
        if rng.random() < 0.3:
            yield talk.updated(attributes={rng.choice(MINOR_CHANGES): f"change {talk.sequence}"})


class _Talk:
    """One conversation and what is the same in all its events."""

    def __init__(self, rng: random.Random, pace: Pace) -> None:
        self._rng = rng
        self._pace = pace
        self._conversation_id = str(uuid.UUID(int=rng.getrandbits(128), version=4))
        self._identified_by = rng.choice(("message id", "sequence", "nothing"))
        self.customer = rng.randint(100_000, 999_999)
        self.sequence = 0

    def new(self) -> Happening:
        """Begin it."""
        return Happening("new", {**self._event("new", self._pace.advance()), **_introduction(self.customer)})

    def message(self) -> Happening:
        """Say something, sometimes in the millisecond of the event before."""
        self.sequence += 1
        payload = self._event("message", self._pace.advance_or_collide())
        payload["message"] = _message(self._rng, self.customer, self.sequence)
        if self._identified_by == "message id":
            payload["message"]["id"] = f"{self._rng.getrandbits(128):032x}"
        elif self._identified_by == "sequence":
            payload["sequence"] = self.sequence
        return Happening("message", payload)

    def updated(self, **changes: object) -> Happening:
        """Change something, never in the millisecond of another change."""
        return Happening("updated", {**self._event("updated", self._pace.advance()), **changes})

    def _event(self, event_type: str, timestamp: str) -> Payload:
        return {
            "eventType": f"openmessaging:conversation:{event_type}",
            "conversationId": self._conversation_id,
            "timestamp": timestamp,
            "channel": _channel(),
        }


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
