"""Parse the bodies that Genesys Cloud actually posts: its normalised outbound messages.

Source:
    Genesys Cloud Developer Center, "Outbound messages" of Open Messaging, and the schema
    OpenOutboundNormalizedMessage; the enumerations of Genesys' Python SDK 269, read in November 2026. Both
    `nickName` and `nickname` occur, and types of ids appear in both upper and lower case.
"""

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from itertools import islice
from typing import Any, Final

from messaging.errors import RejectedEventError
from workers.parsing import schema_reader as schema
from workers.parsing.drift import UNKNOWN_FIELD, DriftNotes
from workers.parsing.events import CONVERSATION_MESSAGE, GENESYS, RECEIPT, TYPING, Event
from workers.parsing.idempotency import digest_of, genesys_key
from workers.parsing.json_body import json_text
from workers.parsing.timestamps import microseconds_of


class NormalizedMessageSchema(schema.LenientSchema):
    """The top level of every native body. The platform's published schema requires none of its fields."""

    unread = schema.names("byoSmsIntegrationId enrichment messageMetadata metadata relatedMessages")

    message_id = schema.MessageId("id")
    kind = schema.Identifier("type", required=True)
    channel = schema.Object(required=True)
    # Real bodies contain this field, but the platform's published schema does not list it.
    conversation_id = schema.Identifier("conversationId", is_strict=True)
    text = schema.Words()
    content = schema.Objects()
    events = schema.Objects()
    status = schema.Words(known=schema.names("Sent Delivered Read Failed Published Removed"))
    reasons = schema.Objects()
    is_final_receipt = schema.Checked(schema.truth, "isFinalReceipt")
    originating_entity = schema.Words("originatingEntity", known=frozenset({"Human", "Bot"}))
    direction = schema.Words(known=frozenset({"Inbound", "Outbound"}))


class IntegrationChannelSchema(schema.LenientSchema):
    """The `channel` of a native body: the integration, the time, the sender and the recipient."""

    unread = schema.names("metadata publicMetadata dateModified dateDeleted")

    channel_id = schema.Identifier("id")
    message_id = schema.MessageId("messageId")
    occurred_at = schema.Timestamp("time", required=True)
    platform = schema.Words(known=frozenset({"Open"}))
    kind = schema.Words("type", known=frozenset({"Private", "Public"}))
    recipient = schema.Object("to")
    originator = schema.Object("from")


class PartySchema(schema.LenientSchema):
    """A sender or a recipient. Only its id and idType are read; other fields are personal or not needed."""

    unread = schema.names("""
        additionalIds email externalContactDivisionId externalContactId firstName image lastName nickName
        nickname
        """)

    # The id can have any length, because only its digest is kept.
    party_id = schema.Words("id")
    id_kind = schema.Checked(
        lambda value: schema.words(value).lower(), "idType", known=schema.names("email opaque phone")
    )


MESSAGE: Final = NormalizedMessageSchema()
CHANNEL: Final = IntegrationChannelSchema("channel")
RECIPIENT: Final = PartySchema("channel.to")
ORIGINATOR: Final = PartySchema("channel.from")

CONTENT_TYPES: Final = schema.names("""
    Attachment ButtonResponse Card Carousel DatePicker Form InteractiveApplication ListPicker Location Mention
    Notification NotificationResponse PaymentRequest PaymentResponse Push QuickReply QuickReplyV2 Reactions
    RichLink RoadsideAssistance Story Text Unknown
    """)

REFERENCE: Final = schema.names("id mediaType url mime filename text sha256 contentSizeBytes")
"""The fields of an attachment that locate and describe it; its other fields are not stored as content."""

_KIND_SHAPE: Final = re.compile(r"[A-Za-z]{1,30}")

MAX_KINDS: Final = 20
"""Maximum number of kinds distinguished in one list of events; the platform defines only a handful."""

OTHER: Final = "Other"
"""Kind given to an event in a list if its own is invalid or the list already has MAX_KINDS kinds."""


def read_genesys_events(
    payload: Mapping[str, Any], notes: DriftNotes, event_types: AbstractSet[str]
) -> tuple[Event, ...]:
    """Parse a native body into one event or, if it contains a list, into one event for each kind in it."""
    kinds = _read_kinds(payload)
    known = event_types & set(kinds.values())
    if not known:
        raise RejectedEventError("unknown_event_type", "events[].eventType: is not a kind that has a handler")
    noted_under = min(known)
    message = MESSAGE.read(payload, notes, noted_under)
    channel = CHANNEL.read(message["channel"], notes, noted_under)
    channel["recipient"] = RECIPIENT.read(channel.get("recipient"), notes, noted_under)
    channel["originator"] = ORIGINATOR.read(channel.get("originator"), notes, noted_under)
    content = [_reduce(part, notes, noted_under) for part in message.get("content", ())]
    message["content"] = json_text(content) if content else None
    for kind in (kind for kind, event_type in kinds.items() if event_type not in known):
        notes.note_value("events[].eventType", kind, noted_under, is_closed=True)
    return tuple(
        _make_event(payload, message, channel, kind, event_type) for kind, event_type in kinds.items()
    )


def _read_kinds(payload: Mapping[str, Any]) -> dict[str, str]:
    match payload:
        case {"type": ("Text" | "Structured") as kind}:
            return {kind: CONVERSATION_MESSAGE}
        case {"type": "Receipt" as kind}:
            return {kind: RECEIPT}
        case {"type": "Event"}:
            kinds: dict[str, str] = {}
            for event in payload["events"] if isinstance(payload.get("events"), list) else ():
                named = event.get("eventType") if isinstance(event, dict) else None
                kind = named if isinstance(named, str) and _KIND_SHAPE.fullmatch(named) else OTHER
                kind = kind if len(kinds) < MAX_KINDS else OTHER
                kinds[kind] = TYPING if kind == "Typing" else f"openmessaging:event:{kind.lower()}"
            return kinds
    raise RejectedEventError("unknown_event_type", "type: is not a type that has a handler")


def _reduce(part: Mapping[str, Any], notes: DriftNotes, event_type: str) -> Mapping[str, Any]:
    """Return a message part with only the attachment fields in REFERENCE. The payload stays complete."""
    kind, attachment = part.get("contentType"), part.get("attachment")
    if isinstance(kind, str) and kind not in CONTENT_TYPES:
        notes.note_value("content[].contentType", kind, event_type, is_closed=True)
    if not isinstance(attachment, dict) or attachment.keys() <= REFERENCE:
        return part
    for name in islice(attachment.keys() - REFERENCE, schema.MAX_UNKNOWN):
        notes.note_field(UNKNOWN_FIELD, "content[].attachment.", name, event_type, attachment[name])
    return {**part, "attachment": {name: attachment[name] for name in attachment if name in REFERENCE}}


def _make_event(
    payload: Mapping[str, Any],
    message: Mapping[str, Any],
    channel: Mapping[str, Any],
    kind: str,
    event_type: str,
) -> Event:
    reasons, sender = message.get("reasons"), message.get("originating_entity")
    integration = channel.get("channel_id")
    message_id = message.get("message_id") or channel.get("message_id")
    discriminator = f"id-{message_id}" if message_id else digest_of(payload)
    if message_id and event_type == RECEIPT:
        # All receipts of a message have the same id. The history omits false values and empty lists.
        described = [payload.get(name) or None for name in ("status", "isFinalReceipt", "reasons")]
        discriminator += f":{digest_of(described)}"
    return Event(
        event_type=event_type,
        conversation_id=message.get("conversation_id") or _make_conversation_id(message, channel),
        occurred_at_us=microseconds_of(channel["occurred_at"]),
        idempotency_key=genesys_key(integration, message.get("direction"), kind, discriminator),
        dialect=GENESYS,
        platform_message_id=message_id,
        social_channel=integration,
        sender=sender.lower() if sender else None,
        text=message.get("text"),
        content=message["content"],
        receipt_status=message.get("status"),
        receipt_reasons=json_text(reasons) if reasons else None,
        is_final_receipt=message.get("is_final_receipt"),
        payload=payload,
    )


def _make_conversation_id(message: Mapping[str, Any], channel: Mapping[str, Any]) -> str:
    """Return a substitute for conversationId, made from the integration's id and the customer's id."""
    integration = channel.get("channel_id")
    ids = [channel[party].get("party_id") for party in ("recipient", "originator")]
    if message.get("direction") == "Inbound":
        ids.reverse()
    customer = next((party_id for party_id in ids if party_id and party_id != integration), None)
    if not customer or not integration:
        raise RejectedEventError(
            "missing_field", "conversationId: is missing, and so is channel.id or the customer's id"
        )
    # Use a digest of the customer's id, which can be a personal address of any length.
    return f"{integration}/{digest_of({'to': customer})}"
