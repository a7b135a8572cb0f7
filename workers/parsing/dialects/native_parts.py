"""Parse the parties and the structured parts of a native message.

Source: as workers/parsing/dialects/genesys.py; both spellings of the nickname are in use, and the kinds of
ids in any case.
"""

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Final

from workers.parsing.drift import UNKNOWN_FIELD, DriftNotes
from workers.parsing.fields import LowerCase, Words
from workers.parsing.schema_reader import MAX_UNKNOWN, LenientSchema, SchemaReader


class PartySchema(LenientSchema):
    """A sender or a recipient; everything but the id is personal or not needed."""

    unread = frozenset(
        {
            "additionalIds",
            "email",
            "externalContactDivisionId",
            "externalContactId",
            "firstName",
            "image",
            "lastName",
            "nickName",
            "nickname",
        }
    )

    # Of any length; only a digest of it is kept.
    party_id = Words(data_key="id")
    id_kind = LowerCase(data_key="idType", metadata={"known": frozenset({"email", "opaque", "phone"})})


RECIPIENT: Final = SchemaReader(PartySchema(), "channel.to")
ORIGINATOR: Final = SchemaReader(PartySchema(), "channel.from")

CONTENT_TYPES: Final = frozenset(
    {
        "Attachment",
        "ButtonResponse",
        "Card",
        "Carousel",
        "DatePicker",
        "Form",
        "InteractiveApplication",
        "ListPicker",
        "Location",
        "Mention",
        "Notification",
        "NotificationResponse",
        "PaymentRequest",
        "PaymentResponse",
        "Push",
        "QuickReply",
        "QuickReplyV2",
        "Reactions",
        "RichLink",
        "RoadsideAssistance",
        "Story",
        "Text",
        "Unknown",
    }
)

REFERENCE: Final = frozenset(
    {"id", "mediaType", "url", "mime", "filename", "text", "sha256", "contentSizeBytes"}
)
"""Fields that locate and describe an attachment."""


def reduce_parts(parts: Iterable[Any], notes: DriftNotes, event_type: str) -> list[Any]:
    """Return a message's parts, with attachments reduced to references; the payload keeps everything."""
    return [_reduce(part, notes, event_type) for part in parts]


def _reduce(part: Mapping[str, Any], notes: DriftNotes, event_type: str) -> Mapping[str, Any]:
    kind, attachment = part.get("contentType"), part.get("attachment")
    if isinstance(kind, str) and kind not in CONTENT_TYPES:
        notes.note_value("content[].contentType", kind, event_type, is_closed=True)
    if not isinstance(attachment, dict) or attachment.keys() <= REFERENCE:
        return part
    for name in islice(attachment.keys() - REFERENCE, MAX_UNKNOWN):
        notes.note_field(UNKNOWN_FIELD, "content[].attachment.", name, event_type, attachment[name])
    return {**part, "attachment": {name: attachment[name] for name in attachment if name in REFERENCE}}
