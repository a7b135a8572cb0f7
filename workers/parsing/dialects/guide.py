"""Parse the guide's envelope.

Source:
    "Implementing Open Messaging Webhooks for Custom Social Channels": the sample payload, the event types,
    the routing states of its filters. Messages have `message` and, if the social channel numbers them,
    `sequence`; updates have `routing` and `attributes`. The guide leaves two names open, so both spellings in
    use are read: `message.id` or `messageId`, `sequence` or `sequenceNumber`.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final

from messaging.errors import RejectedEventError
from workers.parsing.drift import DriftNotes
from workers.parsing.events import CONVERSATION_MESSAGE, EVENT_TYPES, GUIDE, ROUTING_STATUSES, Event
from workers.parsing.fields import (
    MessageId,
    Object,
    Objects,
    Sequence,
    TextOrObject,
    Timestamp,
    Words,
    choice,
    identity,
)
from workers.parsing.idempotency import digest_of, guide_key
from workers.parsing.json_body import json_text
from workers.parsing.schema_reader import LenientSchema, SchemaReader
from workers.parsing.timestamps import microseconds_of


class EnvelopeSchema(LenientSchema):
    """The top level, common to all three event types; the metadata is free-form and holds a secret."""

    unread = frozenset({"eventType", "metadata"})

    conversation_id = identity("conversationId", required=True)
    occurred_at = Timestamp(data_key="timestamp", required=True)
    sequence = Sequence()
    sequence_number = Sequence(data_key="sequenceNumber")
    message_id = MessageId(data_key="messageId")
    channel = Object()
    participants = Objects()
    message = TextOrObject()
    routing = Object()
    attributes = Object()


class SocialChannelSchema(LenientSchema):
    """The customer's social channel."""

    unread = frozenset({"name"})

    kind = choice("type", frozenset({"custom"}))
    external_id = Words(data_key="externalId")


class ParticipantSchema(LenientSchema):
    """One participant; the personal address is not read."""

    unread = frozenset({"address"})

    participant_id = Words(data_key="id")
    role = choice("role", frozenset({"customer", "agent", "bot"}), is_closed=False)


class MessageSchema(LenientSchema):
    """A message."""

    message_id = MessageId(data_key="id")
    other_id = MessageId(data_key="messageId")
    sequence = Sequence()
    sequence_number = Sequence(data_key="sequenceNumber")
    text = Words()
    content = Objects()
    direction = choice("direction", frozenset({"inbound", "outbound"}))
    sender = Words(data_key="from")


class RoutingSchema(LenientSchema):
    """The routing of an update."""

    status = choice("status", ROUTING_STATUSES)
    routing_queue = Words(data_key="queueId")


_ENVELOPE: Final = SchemaReader(EnvelopeSchema())
_SOCIAL_CHANNEL: Final = SchemaReader(SocialChannelSchema(), "channel")
_PARTICIPANT: Final = SchemaReader(ParticipantSchema(), "participants[]")
_MESSAGE: Final = SchemaReader(MessageSchema(), "message")
_ROUTING: Final = SchemaReader(RoutingSchema(), "routing")


def read_guide_event(payload: Mapping[str, Any], notes: DriftNotes, event_types: AbstractSet[str]) -> Event:
    """Parse one event of the guide's envelope.

    Raises:
        RejectedEventError: The type has no handler, or the conversation or time is missing or malformed.
    """
    event_type = _event_type_of(payload, event_types)
    envelope = _ENVELOPE.read(payload, notes, event_type)
    social_channel = _SOCIAL_CHANNEL.read_member(envelope.get("channel"), notes, event_type)
    message = _MESSAGE.read_member(envelope.get("message"), notes, event_type)
    routing = _ROUTING.read_member(envelope.get("routing"), notes, event_type)
    for participant in envelope.get("participants", ()):
        _PARTICIPANT.read(participant, notes, event_type)
    content = message.get("content")
    message_id = message.get("message_id") or message.get("other_id") or envelope.get("message_id")
    sequence = _sequence_of(envelope, message)
    occurred_at_us = microseconds_of(envelope["occurred_at"])
    kind = event_type.rpartition(":")[2] if event_type in EVENT_TYPES else event_type
    return Event(
        event_type=event_type,
        conversation_id=envelope["conversation_id"],
        occurred_at_us=occurred_at_us,
        idempotency_key=guide_key(
            envelope["conversation_id"],
            occurred_at_us,
            kind,
            _discriminator_of(event_type, message_id, sequence, payload),
        ),
        dialect=GUIDE,
        sequence=sequence or 0,
        platform_message_id=message_id,
        social_channel=social_channel.get("external_id"),
        sender=message.get("direction"),
        text=message.get("text"),
        content=json_text(content) if content else None,
        routing_status=routing.get("status"),
        routing_queue=routing.get("routing_queue"),
        payload=payload,
    )


def _event_type_of(payload: Mapping[str, Any], event_types: AbstractSet[str]) -> str:
    event_type = payload["eventType"]
    if not isinstance(event_type, str):
        raise RejectedEventError("invalid_field", "eventType: is not a text")
    if event_type not in event_types:
        raise RejectedEventError("unknown_event_type", "eventType: is not a type that has a handler")
    return event_type


def _sequence_of(envelope: Mapping[str, int], message: Mapping[str, int]) -> int | None:
    """Return the first sequence number; 0 counts."""
    for where in (envelope, message):
        for name in ("sequence", "sequence_number"):
            if name in where:
                return where[name]
    return None


def _discriminator_of(
    event_type: str, message_id: str | None, sequence: int | None, payload: Mapping[str, Any]
) -> str:
    """Distinguish two events of one type and moment; a message's id identifies only its message event."""
    if message_id and event_type == CONVERSATION_MESSAGE:
        return f"id-{message_id}"
    if sequence is not None:
        return f"seq-{sequence}"
    return digest_of(payload)
