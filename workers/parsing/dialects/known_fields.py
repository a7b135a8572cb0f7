"""Say which fields bodies have, as the schemas of the dialects know them: a setting may name fields."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from workers.parsing.dialects.detail_events import DetailEventSchema
from workers.parsing.dialects.genesys import IntegrationChannelSchema, NormalizedMessageSchema
from workers.parsing.dialects.guide import (
    EnvelopeSchema,
    MessageSchema,
    ParticipantSchema,
    RoutingSchema,
    SocialChannelSchema,
)
from workers.parsing.dialects.native_parts import PartySchema

if TYPE_CHECKING:
    from workers.parsing.schema_reader import LenientSchema

ANYTHING: Final = "anything"
"""A free-form value: whatever name within it is as good as any other."""

VALUE: Final = "value"
"""A text, a number or a truth value: there is no name within it."""

Fields: TypeAlias = "dict[str, Fields] | list[Fields] | str"
"""Of an object its fields by name, of a list the one form of its members, or one of the two words above."""


@cache
def guide_fields() -> dict[str, Fields]:
    """Return the fields of the guide's envelope."""
    return _fields_of(
        EnvelopeSchema(),
        eventType=VALUE,
        channel=_fields_of(SocialChannelSchema(), name=VALUE),
        participants=[_fields_of(ParticipantSchema())],
        message=_fields_of(MessageSchema(), content=[ANYTHING]),
        routing=_fields_of(RoutingSchema()),
        attributes=ANYTHING,
    )


@cache
def all_fields() -> dict[str, Fields]:
    """Return the fields of all dialects together."""
    party: dict[str, Fields] = dict.fromkeys(_fields_of(PartySchema()), VALUE)
    channel = _fields_of(IntegrationChannelSchema()) | {"to": party, "from": party}
    native = _fields_of(
        NormalizedMessageSchema(),
        channel=channel,
        content=[ANYTHING],
        events=[ANYTHING],
        reasons=[ANYTHING],
        relatedMessages=[ANYTHING],
    )
    detail = {
        "topicName": VALUE,
        "version": VALUE,
        "timestamp": VALUE,
        "metadata": ANYTHING,
        "eventBody": _fields_of(DetailEventSchema()),
    }
    envelope = dict.fromkeys(("id", "source", "account", "time", "region", "version"), VALUE)
    merged: dict[str, Fields] = {}
    for fields in (guide_fields(), native, detail, {**envelope, "detail": detail, "resources": [VALUE]}):
        merged = _merged(merged, fields)
    return merged


def _fields_of(schema: LenientSchema, **members: Fields) -> dict[str, Fields]:
    """Return a schema's fields; what it does not look into may be anything."""
    read: dict[str, Fields] = {field.data_key or name: VALUE for name, field in schema.load_fields.items()}
    return dict.fromkeys(schema.unread, ANYTHING) | read | members


def _merged(one: dict[str, Fields], other: dict[str, Any]) -> dict[str, Fields]:
    merged = dict(one)
    for name, fields in other.items():
        known = merged.get(name)
        merged[name] = (
            _merged(known, fields) if isinstance(known, dict) and isinstance(fields, dict) else fields
        )
    return merged
