"""Turn what the platform posts into our event, and list the fields that bodies may have.

Each dialect has a module of its own.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from functools import cache
from typing import Any, Final, TypeAlias

from messaging.errors import RejectedEventError
from workers.parsing.dialects import detail_events, genesys, guide
from workers.parsing.dialects.detail_events import read_detail_event
from workers.parsing.dialects.genesys import read_genesys_events
from workers.parsing.dialects.guide import read_guide_event
from workers.parsing.drift import DriftNotes
from workers.parsing.events import Event
from workers.parsing.json_body import parse_body
from workers.parsing.schema_reader import LenientSchema

ANYTHING: Final = "anything"
"""A free-form value: any name within it is accepted."""

VALUE: Final = "value"
"""A text, a number or a truth value: it has no names within it."""

Fields: TypeAlias = "dict[str, Fields] | list[Fields] | str"
"""An object's fields by name, the one form of a list's members, ANYTHING, or VALUE."""


def read_body(body: bytes, notes: DriftNotes, event_types: AbstractSet[str]) -> tuple[Event, ...]:
    """Parse a raw body: one event, or in the native dialect one for each kind in a list of events.

    The notes collect unknown names and values; the event types are those that have a handler.

    Raises:
        RejectedEventError: It is not a JSON object, or type, conversation or time is missing or malformed.
    """
    payload = parse_body(body)
    try:
        return read_events(payload, notes, event_types)
    except RecursionError:
        # Writing JSON goes a little deeper into the stack than reading it.
        raise RejectedEventError("too_deep", "body: nested too deeply") from None


def read_events(
    payload: Mapping[str, Any], notes: DriftNotes, event_types: AbstractSet[str]
) -> tuple[Event, ...]:
    """Choose the dialect by the payload's shape and read its events, nearly always one."""
    if "eventType" in payload:
        return (read_guide_event(payload, notes, event_types),)
    if "type" in payload:
        return read_genesys_events(payload, notes, event_types)
    if "detail-type" in payload or "topicName" in payload:
        return (read_detail_event(payload, notes, event_types),)
    raise RejectedEventError("missing_field", "eventType: is missing")


@cache
def guide_fields() -> dict[str, Fields]:
    """Return the fields of the guide's envelope."""
    return _list_fields(
        guide.ENVELOPE,
        eventType=VALUE,
        channel=_list_fields(guide.SOCIAL_CHANNEL, name=VALUE),
        participants=[_list_fields(guide.PARTICIPANT)],
        message=_list_fields(guide.MESSAGE, content=[ANYTHING]),
        routing=_list_fields(guide.ROUTING),
        attributes=ANYTHING,
    )


@cache
def all_fields() -> dict[str, Fields]:
    """Return the fields of all dialects together."""
    party: dict[str, Fields] = dict.fromkeys(_list_fields(genesys.RECIPIENT), VALUE)
    channel = _list_fields(genesys.CHANNEL) | {"to": party, "from": party}
    lists: dict[str, Fields] = {
        name: [ANYTHING] for name in ("content", "events", "reasons", "relatedMessages")
    }
    native = _list_fields(genesys.MESSAGE, channel=channel, **lists)
    detail = dict.fromkeys(("topicName", "version", "timestamp"), VALUE) | {
        "metadata": ANYTHING,
        "eventBody": _list_fields(detail_events.BODY),
    }
    envelope = dict.fromkeys(("id", "source", "account", "time", "region", "version"), VALUE)
    merged: dict[str, Fields] = {}
    for fields in (guide_fields(), native, detail, {**envelope, "detail": detail, "resources": [VALUE]}):
        merged = _merge(merged, fields)
    return merged


def _list_fields(schema: LenientSchema, **members: Fields) -> dict[str, Fields]:
    """Return a schema's fields; one that is not read may hold anything."""
    read: dict[str, Fields] = dict.fromkeys(schema.names, VALUE)
    return dict.fromkeys(schema.unread, ANYTHING) | read | members


def _merge(one: dict[str, Fields], other: dict[str, Any]) -> dict[str, Fields]:
    merged = dict(one)
    for name, fields in other.items():
        known = merged.get(name)
        merged[name] = (
            _merge(known, fields) if isinstance(known, dict) and isinstance(fields, dict) else fields
        )
    return merged
