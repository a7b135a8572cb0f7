"""Check an event filter before it is used: its form, its fields, and what the guide warns of.

Source:
    The guide, "Generic filters like channel.type == 'custom' will ingest traffic from all custom channels",
    and "The Trap: Subscribing to openmessaging:conversation:updated without field-level filtering or
    state-change guards".
"""

from __future__ import annotations

import difflib
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from workers.filters.expression import FilterError, NoConditionError, compiled
from workers.filters.member_paths import ELEMENT
from workers.filters.samples import sample
from workers.parsing import (
    ANYTHING,
    CONVERSATION_MESSAGE,
    CONVERSATION_UPDATED,
    VALUE,
    all_fields,
    guide_fields,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workers.filters.expression import Filter
    from workers.filters.member_paths import Path
    from workers.parsing import Fields

GENERIC: Final = (
    "takes the events of every custom channel, test environments and retired integrations too: "
    "add channel.externalId == '…'"
)
UNGUARDED: Final = (
    "takes every update, whisper notes and internal changes too: "
    "add routing.status == 'CONTACT-QUEUED' || routing.status == 'CONTACT-ROUTED', or leave updates out"
)

_TYPE: Final = ("channel", "type")
_EXTERNAL_ID: Final = ("channel", "externalId")
_GUARDS: Final = frozenset({("routing", "status"), ("attributes",), ("metadata",)})
"""An explicit transition, or the very field that is to be kept in step."""


def checked(expression: str, event_type: str | None = None) -> Filter:
    """Return a filter that may be used, with what a person should think about.

    Args:
        expression: In CEL, over the fields of the body.
        event_type: Of a filter that the platform is given: only the fields of the guide's envelope count.
            None of one for all that comes in, whatever its dialect.

    Raises:
        FilterError: It is no CEL, no condition, names a field that no body has, or is a filter of updates
            that names no transition.
    """
    found = compiled(expression)
    paths = found.paths
    known = all_fields() if event_type is None else guide_fields()
    for path in sorted(paths):
        _check_path(path, known)
    named = {path[:depth] for path in paths for depth in (1, 2)}
    if event_type == CONVERSATION_UPDATED and not _GUARDS & named:
        raise FilterError(UNGUARDED)
    is_generic = _takes_a_strangers(found) or _names_the_type_alone(paths)
    return replace(found, warnings=(GENERIC,)) if is_generic else found


def _check_path(path: Path, known: Fields) -> None:
    fields = known
    for depth, name in enumerate(path):
        if fields == ANYTHING:
            return
        if isinstance(fields, list) and name == ELEMENT:
            fields = fields[0]
        elif isinstance(fields, dict) and name == ELEMENT:
            # A macro over an object goes through its names.
            fields = VALUE
        elif isinstance(fields, dict) and name in fields:
            fields = fields[name]
        else:
            raise FilterError(f"{_text(path[: depth + 1])} is no field of the body{_nearest(path, known)}")


def _nearest(path: Path, known: Fields) -> str:
    names = difflib.get_close_matches(_text(path), list(_texts(known)), n=1, cutoff=0.5)
    return f": did you mean {names[0]}?" if names else ""


def _texts(fields: Fields, prefix: Path = ()) -> Iterator[str]:
    if prefix:
        yield _text(prefix)
    if isinstance(fields, list):
        yield from _texts(fields[0], (*prefix, ELEMENT))
    elif isinstance(fields, dict):
        for name, within in fields.items():
            yield from _texts(within, (*prefix, name))


def _text(path: Path) -> str:
    return ".".join(path).replace(f".{ELEMENT}", ELEMENT)


def _names_the_type_alone(paths: frozenset[Path]) -> bool:
    return _TYPE in paths and _EXTERNAL_ID not in paths


def _takes_a_strangers(found: Filter) -> bool:
    """Tell whether it holds of a channel that nobody can have named."""
    try:
        return found.evaluate(sample(CONVERSATION_MESSAGE, external_id="\x01a channel that nobody named"))
    except NoConditionError:
        raise
    except FilterError:
        return False
