"""Parse the platform's bodies, in any dialect, into events, and list the fields that a body can have."""

from collections.abc import Set as AbstractSet
from functools import cache
from typing import Final, TypeAlias

from messaging.errors import RejectedEventError
from workers.parsing.dialects import detail_events, genesys, guide
from workers.parsing.drift import DriftNotes
from workers.parsing.events import Event
from workers.parsing.json_body import parse_body
from workers.parsing.schema_reader import LenientSchema

ANYTHING: Final = "anything"
"""Stands for a free-form value, in which any name is accepted."""

VALUE: Final = "value"
"""Stands for a text, a number or a boolean, which contains no names of fields."""

_LISTS: Final = ("content", "events", "reasons", "relatedMessages")
"""The fields of a native body that contain lists of free-form objects."""

Fields: TypeAlias = "dict[str, Fields] | list[Fields] | str"
"""An object's fields by name; or a list with the form of its members; or ANYTHING; or VALUE."""


def read_body(body: bytes, notes: DriftNotes, event_types: AbstractSet[str]) -> tuple[Event, ...]:
    """Parse a raw body into one event or, if a native body lists several kinds, into one for each kind.

    *notes* collects unknown names and values. *event_types* contains the types that have a handler.

    Raises:
        RejectedEventError: The body is not an object, or type, conversation or time is missing or malformed.
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
        # Writing JSON needs slightly more stack than reading it, so a deeply nested body can fail only here.
        raise RejectedEventError("too_deep", "body: nested too deeply") from None
    raise RejectedEventError("missing_field", "eventType: is missing")


@cache
def guide_fields() -> dict[str, Fields]:
    """Return the fields that a body in the guide's envelope can have."""
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
    """Return the fields that a body of any dialect can have."""
    party: dict[str, Fields] = dict.fromkeys(_list_fields(genesys.RECIPIENT), VALUE)
    channel = _list_fields(guide.SOCIAL_CHANNEL, name=VALUE) | _list_fields(genesys.CHANNEL)
    channel |= {"to": party, "from": party}
    lists: dict[str, Fields] = {name: [ANYTHING] for name in _LISTS}
    native = _list_fields(genesys.MESSAGE, channel=channel, **lists)
    detail: dict[str, Fields] = dict.fromkeys(("topicName", "version", "timestamp"), VALUE)
    detail |= {"metadata": ANYTHING, "eventBody": _list_fields(detail_events.BODY)}
    envelope = dict.fromkeys(("id", "source", "account", "time", "region", "version"), VALUE)
    bridged: dict[str, Fields] = {**envelope, "detail": detail, "resources": [VALUE]}
    return guide_fields() | native | detail | bridged


def _list_fields(schema: LenientSchema, **members: Fields) -> dict[str, Fields]:
    """Return a schema's fields; a field that is not read can contain anything."""
    read: dict[str, Fields] = dict.fromkeys(schema.names, VALUE)
    return dict.fromkeys(schema.unread, ANYTHING) | read | members
