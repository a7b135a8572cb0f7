"""Check an event filter's syntax and fields before it is used, and warn of mistakes that the guide names.

Source:
    The guide, "Generic filters like channel.type == 'custom' will ingest traffic from all custom channels",
    and "The Trap: Subscribing to openmessaging:conversation:updated without field-level filtering or
    state-change guards". The sample body is the guide's; its `message` and `routing` are our own.
"""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from workers import parsing
from workers.filters.expression import ELEMENT, Filter, FilterError, NoConditionError, Path, compile_filter

GENERIC: Final = (
    "accepts the events of every custom channel, including test environments and retired integrations: "
    "add channel.externalId == '…'"
)
UNGUARDED: Final = (
    "accepts every update, including whisper notes and internal changes: "
    "add routing.status == 'CONTACT-QUEUED' || routing.status == 'CONTACT-ROUTED', or leave updates out"
)

_GUARDS: Final = frozenset({("routing", "status"), ("attributes",), ("metadata",)})
"""A filter for updates must name one of these fields: the routing status, or data to synchronise."""

EXTERNAL_ID: Final = "custom-social-channel-01"

_DETAILS: Final[Mapping[str, Mapping[str, Any]]] = {
    parsing.CONVERSATION_NEW: {},
    parsing.CONVERSATION_MESSAGE: {"message": {"id": "message-1", "text": "Hello", "direction": "inbound"}},
    parsing.CONVERSATION_UPDATED: {"routing": {"status": parsing.QUEUED, "queueId": "queue-1"}},
}


def check_filter(expression: str, event_type: str | None = None) -> Filter:
    """Compile a filter, and return it with its warnings; raise a FilterError that explains a mistake.

    If *event_type* is set, the filter is for the platform and may name only fields of the guide's envelope.
    OM_EVENT_FILTER has no event type, because it applies to all dialects.
    """
    found = compile_filter(expression)
    paths = found.paths
    known = parsing.all_fields() if event_type is None else parsing.guide_fields()
    for path in sorted(paths):
        _check_path(path, known)
    named = {path[:depth] for path in paths for depth in (1, 2)}
    if event_type == parsing.CONVERSATION_UPDATED and (not _GUARDS & named or _accepts_any_update(found)):
        raise FilterError(UNGUARDED)
    elsewhere = sample(parsing.CONVERSATION_MESSAGE, external_id="\x01an unknown channel")
    names_all = ("channel", "type") in paths and ("channel", "externalId") not in paths
    is_generic = _accepts(found, elsewhere) or names_all
    return replace(found, warnings=(GENERIC,)) if is_generic else found


def _check_path(path: Path, known: parsing.Fields) -> None:
    fields = known
    for depth, name in enumerate(path):
        if fields == parsing.ANYTHING:
            return
        if isinstance(fields, list) and name == ELEMENT:
            fields = fields[0]
        elif isinstance(fields, dict) and name == ELEMENT:
            # A CEL macro that is applied to an object iterates over the names of its members.
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


def _accepts_any_update(found: Filter) -> bool:
    """Return whether a filter accepts updates without a routing transition on a social channel it names."""
    nothing = {"routing": {"status": "\x01an unknown status"}, "metadata": {}}
    channels = (EXTERNAL_ID, *found.texts)
    updates = (sample(parsing.CONVERSATION_UPDATED, external_id=channel) | nothing for channel in channels)
    return any(_accepts(found, update) for update in updates)


def _accepts(found: Filter, body: Mapping[str, Any]) -> bool:
    try:
        return found.evaluate(body)
    except NoConditionError:
        raise
    except FilterError:
        return False


def sample(event_type: str, *, external_id: str = EXTERNAL_ID) -> dict[str, Any]:
    """Return a sample body of one of the guide's three event types, to test a filter with."""
    return {
        "eventType": event_type,
        "conversationId": "a1b2c3d4-e5f6-7890-abcd-ef1234567890",
        "timestamp": "2024-05-15T14:32:10.000Z",
        "channel": {"type": "custom", "externalId": external_id, "name": "Custom Social Integration"},
        "participants": [{"id": "ext:customer:987654", "role": "customer"}],
        "metadata": {"platformOrigin": "facebook-custom-connector"},
        **_DETAILS[event_type],
    }
