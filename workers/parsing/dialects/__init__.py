"""Turn what the platform posts into our event, in any dialect, and list the fields that bodies may have."""

from collections.abc import Set as AbstractSet
from functools import cache, reduce
from typing import Any, Final, TypeAlias

from messaging.errors import RejectedEventError
from workers.parsing.dialects import detail_events, genesys, guide
from workers.parsing.drift import DriftNotes
from workers.parsing.events import Event
from workers.parsing.json_body import parse_body
from workers.parsing.schema_reader import LenientSchema

ANYTHING: Final = "anything"
"""A free-form value: any name within it is accepted."""

VALUE: Final = "value"
"""A text, a number or a truth value, which contains no names."""

_LISTS: Final = ("content", "events", "reasons", "relatedMessages")
"""Fields of a native body that hold free-form objects."""

Fields: TypeAlias = "dict[str, Fields] | list[Fields] | str"
"""An object's fields by name, the one form of a list's members, ANYTHING, or VALUE."""


def read_body(body: bytes, notes: DriftNotes, event_types: AbstractSet[str]) -> tuple[Event, ...]:
    """Parse a raw body: one event, or in the native dialect one for each kind in a list of events.

    *notes* collects unknown names and values; *event_types* has the types that have a handler.

    Raises:
        RejectedEventError: The body is no JSON object, or type, conversation or time is missing or malformed.
    """
    payload = parse_body(body)
    try:
        if "eventType" in payload:
            return (guide.read_guide_event(payload, notes, event_types),)
        if "type" in payload:
            return genesys.read_genesys_events(payload, notes, event_types)
        if "detail-type" in payload or "topicName" in payload:
            return (detail_events.read_detail_event(payload, notes, event_types),)
    except RecursionError:
        # Writing JSON goes a little deeper into the stack than reading it.
        raise RejectedEventError("too_deep", "body: nested too deeply") from None
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
    lists: dict[str, Fields] = {name: [ANYTHING] for name in _LISTS}
    native = _list_fields(genesys.MESSAGE, channel=channel, **lists)
    detail: dict[str, Fields] = dict.fromkeys(("topicName", "version", "timestamp"), VALUE)
    detail |= {"metadata": ANYTHING, "eventBody": _list_fields(detail_events.BODY)}
    envelope = dict.fromkeys(("id", "source", "account", "time", "region", "version"), VALUE)
    bridged: dict[str, Fields] = {**envelope, "detail": detail, "resources": [VALUE]}
    return reduce(_merge, (guide_fields(), native, detail, bridged))


def _list_fields(schema: LenientSchema, **members: Fields) -> dict[str, Fields]:
    """Return a schema's fields; a field that is not read may contain anything."""
    read: dict[str, Fields] = dict.fromkeys(schema.names, VALUE)
    return dict.fromkeys(schema.unread, ANYTHING) | read | members


def _merge(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Fields]:
    merged = one | other
    for name in one.keys() & other.keys():
        if isinstance(one[name], dict) and isinstance(other[name], dict):
            merged[name] = _merge(one[name], other[name])
    return merged
