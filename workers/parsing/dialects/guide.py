"""Parse bodies in the guide's envelope into events.

Source:
    "Implementing Open Messaging Webhooks for Custom Social Channels": the sample payload, the event types,
    the routing states of its filters. Messages have `message` and, if the social channel numbers them,
    `sequence`; updates have `routing` and `attributes`. The guide does not name the fields for a message's id
    and number, so both names in use are read: `message.id` or `messageId`, `sequence` or `sequenceNumber`.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final

from messaging.errors import RejectedEventError
from workers.parsing import schema_reader as schema
from workers.parsing.drift import DriftNotes
from workers.parsing.events import CONVERSATION_MESSAGE, EVENT_TYPES, GUIDE, ROUTING_STATUSES, Event
from workers.parsing.idempotency import digest_of, guide_key
from workers.parsing.json_body import json_text
from workers.parsing.timestamps import microseconds_of


class EnvelopeSchema(schema.LenientSchema):
    """The envelope's top level, for all three event types. `metadata` is free-form and contains a secret."""

    unread = frozenset({"eventType", "metadata"})

    conversation_id = schema.Identifier("conversationId", required=True)
    occurred_at = schema.Timestamp("timestamp", required=True)
    sequence = schema.Sequence()
    sequence_number = schema.Sequence("sequenceNumber")
    message_id = schema.MessageId("messageId")
    channel = schema.Object()
    participants = schema.Objects()
    # `message` is either an object or only the message's text.
    message = schema.Checked(
        lambda value: {"text": value} if isinstance(value, str) else schema.mapping(value)
    )
    routing = schema.Object()
    attributes = schema.Object()


class SocialChannelSchema(schema.LenientSchema):
    """The `channel` of the envelope, which describes the customer's social channel."""

    unread = frozenset({"name"})

    kind = schema.Words("type", known=frozenset({"custom"}))
    external_id = schema.Words("externalId")


class ParticipantSchema(schema.LenientSchema):
    """One member of the envelope's `participants`; the personal address is not read."""

    unread = frozenset({"address"})

    participant_id = schema.Words("id")
    role = schema.Words(known=frozenset({"customer", "agent", "bot"}), is_closed=False)


class MessageSchema(schema.LenientSchema):
    """The `message` of the envelope, if it is an object."""

    message_id = schema.MessageId("id")
    other_id = schema.MessageId("messageId")
    sequence = schema.Sequence()
    sequence_number = schema.Sequence("sequenceNumber")
    text = schema.Words()
    content = schema.Objects()
    direction = schema.Words(known=frozenset({"inbound", "outbound"}))
    sender = schema.Words("from")


class RoutingSchema(schema.LenientSchema):
    """The `routing` of the envelope, which updates have."""

    status = schema.Words(known=ROUTING_STATUSES)
    routing_queue = schema.Words("queueId")


ENVELOPE: Final = EnvelopeSchema()
SOCIAL_CHANNEL: Final = SocialChannelSchema("channel")
PARTICIPANT: Final = ParticipantSchema("participants[]")
MESSAGE: Final = MessageSchema("message")
ROUTING: Final = RoutingSchema("routing")

SEQUENCES: Final = ("sequence", "sequence_number")
"""The attributes that can contain the sequence number; the first one present counts, even if it is 0."""


def read_guide_event(payload: Mapping[str, Any], notes: DriftNotes, event_types: AbstractSet[str]) -> Event:
    """Parse a payload in the guide's envelope into an event."""
    event_type = payload["eventType"]
    if not isinstance(event_type, str):
        raise RejectedEventError("invalid_field", "eventType: is not a string")
    if event_type not in event_types:
        raise RejectedEventError("unknown_event_type", "eventType: is not a type that has a handler")
    envelope = ENVELOPE.read(payload, notes, event_type)
    social_channel = SOCIAL_CHANNEL.read(envelope.get("channel"), notes, event_type)
    message = MESSAGE.read(envelope.get("message"), notes, event_type)
    routing = ROUTING.read(envelope.get("routing"), notes, event_type)
    for participant in envelope.get("participants", ()):
        PARTICIPANT.read(participant, notes, event_type)
    content, conversation_id = message.get("content"), envelope["conversation_id"]
    message_id = message.get("message_id") or message.get("other_id") or envelope.get("message_id")
    sequence = next((part[name] for part in (envelope, message) for name in SEQUENCES if name in part), None)
    occurred_at_us = microseconds_of(envelope["occurred_at"])
    kind = event_type.rpartition(":")[2] if event_type in EVENT_TYPES else event_type
    if message_id and event_type == CONVERSATION_MESSAGE:
        # Only a message has its own id. Any other event contains the id of the message that it concerns.
        discriminator = f"id-{message_id}"
    else:
        discriminator = digest_of(payload) if sequence is None else f"seq-{sequence}"
    return Event(
        event_type=event_type,
        conversation_id=conversation_id,
        occurred_at_us=occurred_at_us,
        idempotency_key=guide_key(conversation_id, occurred_at_us, kind, discriminator),
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
