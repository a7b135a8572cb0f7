"""Name what every stage behind the broker works on: one event, whatever dialect it came in."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

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
"""The explicit transitions that the guide's filters name."""

ALERTING: Final = "ALERTING"
"""A person is being rung; nobody has answered yet."""

AGENT_LEFT: Final = "AGENT-LEFT"
"""A person's part is over: by a transfer, or for good."""

ENDED: Final = "ENDED"

GUIDE: Final = "guide"
GENESYS: Final = "genesys"
EVENTBRIDGE: Final = "eventbridge"


@dataclass(slots=True)
class Event:
    """What the platform notified, in our words.

    Not to be changed. Neither this nor the two below are frozen: making them would take four times as long
    (docs/decisions/0182-what-is-made-for-each-event.md).

    Args:
        event_type: One of the constants above, or what an integrator's handler is registered for.
        conversation_id: Which conversation; for the native dialect without one, its ordering key.
        occurred_at_us: The platform's clock, microseconds since the epoch, UTC.
        idempotency_key: Equal for every copy of this event, different for any other event.
        dialect: GUIDE, GENESYS or EVENTBRIDGE.
        sequence: Order within one moment; 0 where the platform gives none.
        platform_message_id: The message this event is, or is about.
        social_channel: The customer's channel, or the integration in the native dialect.
        sender: "customer", "human" or "bot" where known.
        text: What a message says.
        content: Attachments and other structured parts of a message, as JSON.
        routing_status: What an update says of the routing.
        routing_queue: The routing queue that an update names.
        receipt_status: What a receipt says of its message.
        receipt_reasons: Why a message failed, as JSON.
        is_final_receipt: Whether more receipts follow; None where not said.
        skip: Why it is to have no effect, in one stable word; None where it may have one.
        payload: The whole body, parsed; what the fields above do not say is here. Not to be changed.
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


def event_again(event: Event, generation: str) -> Event:
    """Return an event with another key for each generation of a replay: it takes effect once for each."""
    return replace(event, idempotency_key=f"{event.idempotency_key}:again-{generation}")


@dataclass(slots=True)
class Arrival:
    """One event as it reached us; two arrivals of one event share its idempotency key.

    Args:
        event: The event itself.
        message_id: The envelope's, unique per accepted request.
        received_at_us: When the edge had read it, microseconds since the epoch, UTC.
        source: webhook, reconcile or replay.
        body_sha256: SHA-256 of the raw body, hexadecimal.
        request_id: Its request's, as in the gateway's log; None where a publisher gave none of use.
        body: The raw body, byte for byte.
        generation: Of a replay that is to take effect again; None of any other arrival.
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
    """An event that this transaction was the first to record.

    Args:
        event_id: Its `processed_events.id`.
        arrival: The event and how it came.
        position: Its number among its conversation's events, from 1, in the order of the commits.
    """

    event_id: int
    arrival: Arrival
    position: int = 0

    @property
    def event(self) -> Event:
        """The event itself."""
        return self.arrival.event
