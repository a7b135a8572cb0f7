"""Define the event that every stage behind the broker processes, in one form for all dialects."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

CONVERSATION_NEW: Final = "openmessaging:conversation:new"
CONVERSATION_MESSAGE: Final = "openmessaging:conversation:message"
CONVERSATION_UPDATED: Final = "openmessaging:conversation:updated"
RECEIPT: Final = "openmessaging:receipt"
TYPING: Final = "openmessaging:typing"

EVENT_TYPES: Final = frozenset(
    {CONVERSATION_NEW, CONVERSATION_MESSAGE, CONVERSATION_UPDATED, RECEIPT, TYPING}
)

QUEUED: Final = "CONTACT-QUEUED"
ROUTED: Final = "CONTACT-ROUTED"
ROUTING_STATUSES: Final = frozenset({QUEUED, ROUTED})
"""The routing states of the explicit transitions that the guide's example filters name."""

ALERTING: Final = "ALERTING"
"""Routing state: an agent is being alerted, but no agent has answered yet."""

AGENT_LEFT: Final = "AGENT-LEFT"
"""Routing state: an agent has left the conversation, whether or not it was transferred."""

ENDED: Final = "ENDED"

GUIDE: Final = "guide"
GENESYS: Final = "genesys"
EVENTBRIDGE: Final = "eventbridge"


@dataclass(slots=True)
class Event:
    """A notification from the platform.

    Treat an Event as immutable. The dataclasses of this module are not frozen, because creating a frozen
    object would take four times as long (docs/decisions/0182-what-is-made-for-each-event.md).

    Args:
        conversation_id: The platform's id or, for a native event without one, a substitute that we make.
        occurred_at_us: Time by the platform's clock, in microseconds since the epoch, UTC.
        sequence: The platform's number that orders events with the same time; 0 if there is no number.
        platform_message_id: The platform's id of the message that this event is or concerns.
        social_channel: The customer's channel, or the integration in the native dialect.
        sender: The direction of a message or, in the native dialect, "human" or "bot".
        content: Attachments and other structured parts of a message, as JSON text.
        skip: Why the event must have no effect, as a stable code; None if it may take effect.
    """

    event_type: str
    conversation_id: str
    occurred_at_us: int
    idempotency_key: str
    dialect: str
    sequence: int = 0
    platform_message_id: str | None = None
    social_channel: str | None = None
    sender: str | None = None
    text: str | None = field(default=None, repr=False)
    content: str | None = field(default=None, repr=False)
    routing_status: str | None = None
    routing_queue: str | None = None
    receipt_status: str | None = None
    receipt_reasons: str | None = field(default=None, repr=False)
    is_final_receipt: bool | None = None
    skip: str | None = None
    payload: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


def replay_event(event: Event, generation: str) -> Event:
    """Return the event with a key that contains *generation*: it takes effect once in each generation."""
    return replace(event, idempotency_key=f"{event.idempotency_key}:again-{generation}")


@dataclass(slots=True)
class Arrival:
    """One event with the data of its arrival. Two arrivals of an event have the same idempotency key.

    Args:
        message_id: The envelope's message id, unique to each accepted request.
        received_at_us: When the edge finished reading the request, in microseconds since the epoch, UTC.
        source: webhook, reconcile, replay, ingest or other.
        body_sha256: The SHA-256 of the raw body, in hexadecimal.
        request_id: The request's id in the gateway's log; None if the publisher set no valid id.
        generation: The generation of a replay that must take effect again; None for any other arrival.
    """

    event: Event
    message_id: str
    received_at_us: int
    source: str
    body_sha256: str
    request_id: str | None
    body: bytes = field(repr=False)
    generation: str | None = None


@dataclass(slots=True)
class ClaimedEvent:
    """An event that this transaction has claimed. *position* is its number in its conversation, from 1."""

    event_id: int
    arrival: Arrival
    position: int = 0

    @property
    def event(self) -> Event:
        """The claimed event."""
        return self.arrival.event
