"""Read the bodies that Genesys Cloud really posts: its normalised outbound messages.

Source:
    Genesys Cloud Developer Center, "Outbound messages" of Open Messaging, and the schema
    OpenOutboundNormalizedMessage; the enumerations after Genesys' Python SDK 269, read November 2026.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from marshmallow import fields

from messaging.errors import RejectedEventError
from workers.parsing.events import CONVERSATION_MESSAGE, GENESYS, RECEIPT, TYPING, Event
from workers.parsing.fields import Object, Objects, Timestamp, Words, choice, identity
from workers.parsing.idempotency import digest_of, idempotency_key
from workers.parsing.schema_reader import LenientSchema, SchemaReader
from workers.parsing.timestamps import microseconds_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workers.parsing.drift import DriftNotes

RECEIPT_STATUSES: Final = frozenset({"Sent", "Delivered", "Read", "Failed", "Published", "Removed"})


class NormalizedMessageSchema(LenientSchema):
    """The top level of every native body; the schema of the platform requires nothing of it."""

    unread = frozenset({"metadata", "relatedMessages", "messageMetadata", "enrichment"})

    message_id = identity("id")
    kind = identity("type", required=True)
    channel = Object(required=True)
    # Present in real traffic though absent from the platform's published schema.
    conversation_id = identity("conversationId")
    text = Words()
    content = Objects()
    events = Objects()
    status = choice("status", RECEIPT_STATUSES)
    reasons = Objects()
    is_final_receipt = fields.Boolean(data_key="isFinalReceipt", truthy={True}, falsy={False})
    originating_entity = choice("originatingEntity", frozenset({"Human", "Bot"}))
    direction = choice("direction", frozenset({"Inbound", "Outbound"}))


class IntegrationChannelSchema(LenientSchema):
    """The integration's channel; sender and recipient are personal, only the recipient's id is read."""

    unread = frozenset({"from", "metadata", "publicMetadata", "dateModified", "dateDeleted"})

    channel_id = identity("id")
    message_id = identity("messageId")
    occurred_at = Timestamp(data_key="time", required=True)
    platform = choice("platform", frozenset({"Open"}))
    kind = choice("type", frozenset({"Private", "Public"}))
    recipient = Object(data_key="to")


_MESSAGE: Final = SchemaReader(NormalizedMessageSchema())
_CHANNEL: Final = SchemaReader(IntegrationChannelSchema(), "channel")


def read_genesys_event(payload: Mapping[str, Any], notes: DriftNotes) -> Event:
    """Read one event of the native dialect.

    Raises:
        RejectedEventError: The type is unknown, or a field that identifies the event is malformed.
    """
    event_type = _event_type_of(payload)
    message = _MESSAGE.read(payload, notes, event_type)
    channel = _CHANNEL.read(message["channel"], notes, event_type)
    conversation_id = message.get("conversation_id") or _ordering_key(channel)
    content = message.get("content")
    reasons = message.get("reasons")
    sender = message.get("originating_entity")
    return Event(
        event_type=event_type,
        conversation_id=conversation_id,
        occurred_at_us=microseconds_of(channel["occurred_at"]),
        idempotency_key=_key_of(conversation_id, message, channel),
        dialect=GENESYS,
        platform_message_id=message.get("message_id"),
        social_channel=channel.get("channel_id"),
        sender=sender.lower() if sender else None,
        text=message.get("text"),
        content=json.dumps(content) if content else None,
        receipt_status=message.get("status"),
        receipt_reasons=json.dumps(reasons) if reasons else None,
        is_final_receipt=message.get("is_final_receipt"),
        payload=payload,
    )


def _event_type_of(payload: Mapping[str, Any]) -> str:
    match payload:
        case {"type": "Text" | "Structured"}:
            return CONVERSATION_MESSAGE
        case {"type": "Receipt"}:
            return RECEIPT
        case {"type": "Event", "events": [{"eventType": "Typing"}, *_]}:
            return TYPING
        case {"type": "Event"}:
            raise RejectedEventError("unknown_event_type", "events[0].eventType: is not Typing")
    raise RejectedEventError("unknown_event_type", "type: is no type that has a handler")


def _ordering_key(channel: Mapping[str, Any]) -> str:
    """Return what stands in for a missing conversationId: one customer on one integration."""
    recipient = (channel.get("recipient") or {}).get("id")
    integration = channel.get("channel_id")
    if not isinstance(recipient, str) or not recipient or not integration:
        raise RejectedEventError(
            "missing_field", "conversationId: is missing, as are channel.id and channel.to.id to stand in"
        )
    # A recipient can be an address of a person, and is as long as its platform likes: a digest will do.
    return f"{integration}/{digest_of({'to': recipient})}"


def _key_of(conversation_id: str, message: Mapping[str, Any], channel: Mapping[str, Any]) -> str:
    """Tell receipts apart by type and status: they have their message's id, and a message has several."""
    kind = message["kind"]
    message_id = message.get("message_id")
    if message_id and kind != "Receipt":
        discriminator = f"id-{message_id}"
    elif message_id:
        discriminator = f"id-{message_id}:{message.get('status')}"
    else:
        names = ("text", "content", "events", "status", "reasons", "is_final_receipt", "direction")
        discriminator = digest_of({name: message[name] for name in names if name in message})
    moment = channel["occurred_at"]
    return idempotency_key(conversation_id, moment, kind.lower(), discriminator)
