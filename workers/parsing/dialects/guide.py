"""Read the guide's envelope.

Source:
    "Implementing Open Messaging Webhooks for Custom Social Channels": the sample payload, the event types,
    the routing states of its filters. Messages carry `message` and, where the social channel numbers
    them, `sequence`; updates carry `routing` and `attributes`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from messaging.errors import RejectedEventError
from workers.parsing.events import GUIDE, ROUTING_STATUSES, Event
from workers.parsing.fields import Object, Objects, Sequence, Timestamp, Words, choice, identity
from workers.parsing.idempotency import digest_of, idempotency_key
from workers.parsing.schema_reader import STRICT, LenientSchema, SchemaReader
from workers.parsing.timestamps import microseconds_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet

    from workers.parsing.drift import DriftNotes


class EnvelopeSchema(LenientSchema):
    """The top level, alike for all three event types; the metadata is free-form and holds a secret."""

    unread = frozenset({"eventType", "metadata"})

    conversation_id = identity("conversationId", required=True)
    occurred_at = Timestamp(data_key="timestamp", required=True)
    sequence = Sequence(metadata=STRICT)
    channel = Object()
    participants = Objects()
    message = Object()
    routing = Object()
    attributes = Object()


class SocialChannelSchema(LenientSchema):
    """The customer's social channel."""

    unread = frozenset({"name"})

    kind = choice("type", frozenset({"custom"}))
    external_id = Words(data_key="externalId")


class ParticipantSchema(LenientSchema):
    """One participant; the address is personal and not read."""

    unread = frozenset({"address"})

    participant_id = Words(data_key="id")
    role = choice("role", frozenset({"customer", "agent", "bot"}))


class MessageSchema(LenientSchema):
    """What a message says."""

    message_id = identity("id")
    text = Words()
    content = Objects()
    direction = choice("direction", frozenset({"inbound", "outbound"}))
    sender = Words(data_key="from")


class RoutingSchema(LenientSchema):
    """What an update says of the routing."""

    status = choice("status", ROUTING_STATUSES)
    routing_queue = Words(data_key="queueId")


_ENVELOPE: Final = SchemaReader(EnvelopeSchema())
_SOCIAL_CHANNEL: Final = SchemaReader(SocialChannelSchema(), "channel")
_PARTICIPANT: Final = SchemaReader(ParticipantSchema(), "participants[]")
_MESSAGE: Final = SchemaReader(MessageSchema(), "message")
_ROUTING: Final = SchemaReader(RoutingSchema(), "routing")


def read_guide_event(payload: Mapping[str, Any], notes: DriftNotes, event_types: AbstractSet[str]) -> Event:
    """Read one event of the guide's envelope.

    Raises:
        RejectedEventError: The type has no handler, or a field that identifies the event is malformed.
    """
    event_type = payload["eventType"]
    if not isinstance(event_type, str):
        raise RejectedEventError("invalid_field", "eventType: is not a text")
    if event_type not in event_types:
        raise RejectedEventError("unknown_event_type", "eventType: is no type that has a handler")
    envelope = _ENVELOPE.read(payload, notes, event_type)
    social_channel = _SOCIAL_CHANNEL.read_member(envelope.get("channel"), notes, event_type)
    message = _MESSAGE.read_member(envelope.get("message"), notes, event_type)
    routing = _ROUTING.read_member(envelope.get("routing"), notes, event_type)
    participants = [_PARTICIPANT.read(each, notes, event_type) for each in envelope.get("participants", ())]
    content = message.get("content")
    return Event(
        event_type=event_type,
        conversation_id=envelope["conversation_id"],
        occurred_at_us=microseconds_of(envelope["occurred_at"]),
        idempotency_key=_key_of(event_type, envelope, message, routing, participants),
        dialect=GUIDE,
        sequence=envelope.get("sequence", 0),
        platform_message_id=message.get("message_id"),
        social_channel=social_channel.get("external_id"),
        sender=message.get("direction"),
        text=message.get("text"),
        content=json.dumps(content) if content else None,
        routing_status=routing.get("status"),
        routing_queue=routing.get("routing_queue"),
        payload=payload,
    )


def _key_of(
    event_type: str,
    envelope: Mapping[str, Any],
    message: Mapping[str, Any],
    routing: Mapping[str, Any],
    participants: list[dict[str, Any]],
) -> str:
    kind = event_type.rpartition(":")[2]
    if message_id := message.get("message_id"):
        discriminator = f"id-{message_id}"
    elif (sequence := envelope.get("sequence")) is not None:
        discriminator = f"seq-{sequence}"
    else:
        business = {
            "message": message,
            "routing": routing,
            "participants": participants,
            "attributes": envelope.get("attributes"),
        }
        discriminator = digest_of(business)
    return idempotency_key(envelope["conversation_id"], envelope["occurred_at"], kind, discriminator)
