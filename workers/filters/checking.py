"""Check an event filter before it is used: its syntax, its fields, and the guide's warnings.

Source:
    The guide, "Generic filters like channel.type == 'custom' will ingest traffic from all custom channels",
    and "The Trap: Subscribing to openmessaging:conversation:updated without field-level filtering or
    state-change guards". The sample body is the guide's; its `message` and `routing` are constructed.
"""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from workers import parsing
from workers.filters.expression import ELEMENT, Filter, FilterError, NoConditionError, Path, compile_filter

GENERIC: Final = (
    "accepts the events of every custom channel, of test environments and retired integrations too: "
    "add channel.externalId == '…'"
)
UNGUARDED: Final = (
    "accepts every update, whisper notes and internal changes too: "
    "add routing.status == 'CONTACT-QUEUED' || routing.status == 'CONTACT-ROUTED', or leave updates out"
)

_TYPE: Final = ("channel", "type")
_EXTERNAL_ID: Final = ("channel", "externalId")
_GUARDS: Final = frozenset({("routing", "status"), ("attributes",), ("metadata",)})
"""A filter for updates must name one of these: an explicit transition, or a field to synchronise."""

EXTERNAL_ID: Final = "custom-social-channel-01"

_DETAILS: Final[Mapping[str, Mapping[str, Any]]] = {
    parsing.CONVERSATION_NEW: {},
    parsing.CONVERSATION_MESSAGE: {"message": {"id": "message-1", "text": "Hello", "direction": "inbound"}},
    parsing.CONVERSATION_UPDATED: {"routing": {"status": parsing.QUEUED, "queueId": "queue-1"}},
}


def check_filter(expression: str, event_type: str | None = None) -> Filter:
    """Return a valid filter with its warnings; raise a FilterError that names the mistake for an invalid one.

    With an *event_type*, it is a filter for the platform and may name only fields of the guide's envelope.
    OM_EVENT_FILTER has no event type, because it applies to every dialect.
    """
    found = compile_filter(expression)
    paths = found.paths
    known = parsing.all_fields() if event_type is None else parsing.guide_fields()
    for path in sorted(paths):
        _check_path(path, known)
    named = {path[:depth] for path in paths for depth in (1, 2)}
    if event_type == parsing.CONVERSATION_UPDATED and not _GUARDS & named:
        raise FilterError(UNGUARDED)
    is_generic = _accepts_unknown_channel(found) or (_TYPE in paths and _EXTERNAL_ID not in paths)
    return replace(found, warnings=(GENERIC,)) if is_generic else found


def _check_path(path: Path, known: parsing.Fields) -> None:
    fields = known
    for depth, name in enumerate(path):
        if fields == parsing.ANYTHING:
            return
        if isinstance(fields, list) and name == ELEMENT:
            fields = fields[0]
        elif isinstance(fields, dict) and name == ELEMENT:
            # A macro over an object iterates over its names.
            fields = parsing.VALUE
        elif isinstance(fields, dict) and name in fields:
            fields = fields[name]
        else:
            names = difflib.get_close_matches(_text(path), list(_list_texts(known)), n=1, cutoff=0.5)
            hint = f": did you mean {names[0]}?" if names else ""
            raise FilterError(f"{_text(path[: depth + 1])} is not a field of the body{hint}")


def _list_texts(fields: parsing.Fields, prefix: Path = ()) -> Iterator[str]:
    if prefix:
        yield _text(prefix)
    if isinstance(fields, list):
        yield from _list_texts(fields[0], (*prefix, ELEMENT))
    elif isinstance(fields, dict):
        for name, within in fields.items():
            yield from _list_texts(within, (*prefix, name))


def _text(path: Path) -> str:
    return ".".join(path).replace(f".{ELEMENT}", ELEMENT)


def _accepts_unknown_channel(found: Filter) -> bool:
    """Return whether a filter accepts a channel whose id it cannot contain."""
    try:
        return found.evaluate(sample(parsing.CONVERSATION_MESSAGE, external_id="\x01an unknown channel"))
    except NoConditionError:
        raise
    except FilterError:
        return False


def sample(event_type: str, *, external_id: str = EXTERNAL_ID) -> dict[str, Any]:
    """Return a body of one of the guide's three event types, to try a filter on."""
    return {
        "eventType": event_type,
        "conversationId": "a1b2c3d4-e5f6-7890-abcd-ef1234567890",
        "timestamp": "2024-05-15T14:32:10.000Z",
        "channel": {"type": "custom", "externalId": external_id, "name": "Custom Social Integration"},
        "participants": [{"id": "ext:customer:987654", "role": "customer"}],
        "metadata": {"platformOrigin": "facebook-custom-connector"},
        **_DETAILS[event_type],
    }
