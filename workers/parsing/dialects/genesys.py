"""Parse the bodies that Genesys Cloud actually posts: its normalised outbound messages.

Source:
    Genesys Cloud Developer Center, "Outbound messages" of Open Messaging, and the schema
    OpenOutboundNormalizedMessage; the enumerations after Genesys' Python SDK 269, read November 2026.
"""

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final

from marshmallow import fields

from messaging.errors import RejectedEventError
from workers.parsing.dialects.native_parts import ORIGINATOR, RECIPIENT, reduce_parts
from workers.parsing.drift import DriftNotes
from workers.parsing.events import CONVERSATION_MESSAGE, GENESYS, RECEIPT, TYPING, Event
from workers.parsing.fields import Identifier, MessageId, Object, Objects, Timestamp, Words, choice, identity
from workers.parsing.idempotency import digest_of, genesys_key
from workers.parsing.json_body import json_text
from workers.parsing.schema_reader import LenientSchema, SchemaReader
from workers.parsing.timestamps import microseconds_of

RECEIPT_STATUSES: Final = frozenset({"Sent", "Delivered", "Read", "Failed", "Published", "Removed"})


class NormalizedMessageSchema(LenientSchema):
    """The top level of every native body; the platform's schema requires none of its fields."""

    unread = frozenset(
        {"byoSmsIntegrationId", "enrichment", "messageMetadata", "metadata", "relatedMessages"}
    )

    message_id = MessageId(data_key="id")
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
    """The integration's channel."""

    unread = frozenset({"metadata", "publicMetadata", "dateModified", "dateDeleted"})

    channel_id = Identifier(data_key="id")
    message_id = MessageId(data_key="messageId")
    occurred_at = Timestamp(data_key="time", required=True)
    platform = choice("platform", frozenset({"Open"}))
    kind = choice("type", frozenset({"Private", "Public"}))
    recipient = Object(data_key="to")
    originator = Object(data_key="from")


_MESSAGE: Final = SchemaReader(NormalizedMessageSchema())
_CHANNEL: Final = SchemaReader(IntegrationChannelSchema(), "channel")


_KIND_SHAPE: Final = re.compile(r"[A-Za-z]{1,30}")

MAX_KINDS: Final = 20
"""Kinds distinguished in one list of events; the platform has a handful."""

OTHER: Final = "Other"
"""The kind of an entry that has no valid one, or that exceeds MAX_KINDS."""


def read_genesys_events(
    payload: Mapping[str, Any], notes: DriftNotes, event_types: AbstractSet[str]
) -> tuple[Event, ...]:
    """Parse one native body: one event, or one for each kind in its list of events.

    A kind without a handler becomes an event too, if another in the list has one.

    Raises:
        RejectedEventError: No type has a handler, or its conversation or time is missing or malformed.
    """
    kinds = _kinds_of(payload)
    known = event_types & set(kinds.values())
    if not known:
        raise RejectedEventError("unknown_event_type", "events[].eventType: is not a kind that has a handler")
    noted_under = min(known)
    message = _MESSAGE.read(payload, notes, noted_under)
    channel = _CHANNEL.read(message["channel"], notes, noted_under)
    channel["recipient"] = RECIPIENT.read_member(channel.get("recipient"), notes, noted_under)
    channel["originator"] = ORIGINATOR.read_member(channel.get("originator"), notes, noted_under)
    if message.get("content"):
        message["content"] = reduce_parts(message["content"], notes, noted_under)
    for kind in (kind for kind, event_type in kinds.items() if event_type not in known):
        notes.note_value("events[].eventType", kind, noted_under, is_closed=True)
    return tuple(_event_of(payload, message, channel, kind, event_type) for kind, event_type in kinds.items())


def _kinds_of(payload: Mapping[str, Any]) -> dict[str, str]:
    """Return the kinds of a body, each with its event type."""
    match payload:
        case {"type": ("Text" | "Structured") as kind}:
            return {kind: CONVERSATION_MESSAGE}
        case {"type": "Receipt" as kind}:
            return {kind: RECEIPT}
        case {"type": "Event"}:
            return {kind: _event_type_of(kind) for kind in _listed_kinds(payload.get("events"))}
    raise RejectedEventError("unknown_event_type", "type: is not a type that has a handler")


def _listed_kinds(events: Any) -> list[str]:
    kinds: dict[str, None] = {}
    for event in events if isinstance(events, list) else ():
        kind = _kind_of(event) if len(kinds) < MAX_KINDS else OTHER
        kinds[kind] = None
    return list(kinds)


def _kind_of(listed: Any) -> str:
    kind = listed.get("eventType") if isinstance(listed, dict) else None
    return kind if isinstance(kind, str) and _KIND_SHAPE.fullmatch(kind) else OTHER


def _event_type_of(kind: str) -> str:
    return TYPING if kind == "Typing" else f"openmessaging:event:{kind.lower()}"


def _event_of(
    payload: Mapping[str, Any],
    message: Mapping[str, Any],
    channel: Mapping[str, Any],
    kind: str,
    event_type: str,
) -> Event:
    content, reasons, sender = (message.get(name) for name in ("content", "reasons", "originating_entity"))
    message_id = message.get("message_id") or channel.get("message_id")
    discriminator = f"id-{message_id}" if message_id else digest_of(payload)
    if message_id and event_type == RECEIPT:
        discriminator += f":{_receipt_digest(payload)}"
    return Event(
        event_type=event_type,
        conversation_id=message.get("conversation_id") or _ordering_key(message, channel),
        occurred_at_us=microseconds_of(channel["occurred_at"]),
        idempotency_key=genesys_key(channel.get("channel_id"), message.get("direction"), kind, discriminator),
        dialect=GENESYS,
        platform_message_id=message_id,
        social_channel=channel.get("channel_id"),
        sender=sender.lower() if sender else None,
        text=message.get("text"),
        content=json_text(content) if content else None,
        receipt_status=message.get("status"),
        receipt_reasons=json_text(reasons) if reasons else None,
        is_final_receipt=message.get("is_final_receipt"),
        payload=payload,
    )


def _receipt_digest(payload: Mapping[str, Any]) -> str:
    """Distinguish the receipts of one message, which all have its id."""
    # The platform's history leaves out false and empty lists.
    return digest_of([payload.get(name) or None for name in ("status", "isFinalReceipt", "reasons")])


def _ordering_key(message: Mapping[str, Any], channel: Mapping[str, Any]) -> str:
    """Return the substitute for a missing conversationId: one customer on one integration."""
    integration = channel.get("channel_id")
    customer = _customer_of(message, channel)
    if not customer or not integration:
        raise RejectedEventError(
            "missing_field", "conversationId: is missing, and so is channel.id or the customer's id"
        )
    # A customer's id may be a personal address of any length, so a digest is used.
    return f"{integration}/{digest_of({'to': customer})}"


def _customer_of(message: Mapping[str, Any], channel: Mapping[str, Any]) -> str | None:
    """Return the id of the party that is not the integration: the sender of an inbound message."""
    parties = [channel["recipient"], channel["originator"]]
    if message.get("direction") == "Inbound":
        parties.reverse()
    integration = channel.get("channel_id")
    ids = [party.get("party_id") for party in parties]
    return next((party_id for party_id in ids if party_id and party_id != integration), None)
