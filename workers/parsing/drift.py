"""Count the fields, values and types in the platform's events that this version does not know.

A sender can put any text into a body, so a field's name or value can contain a customer's name. A field's
name is recorded only if it looks like a name that the platform would choose, and a value only if the platform
has a closed list of values for the field. For any other value, only its type and size are recorded.
"""

import math
import re
from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from messaging.log import logger

UNKNOWN_FIELD: Final = "unknown_field"
UNKNOWN_VALUE: Final = "unknown_value"
WRONG_TYPE: Final = "wrong_type"

NOT_SHOWN: Final = "(not shown)"
MORE: Final = "(more)"

MAX_NAMES: Final = 50
"""How many names per path and event type are recorded when they first occur. The platform adds few names over
the years, but a sender that uses identifiers as field names adds one with every event."""

OFTEN: Final = 20
"""Once a path has MAX_NAMES names, a further name is recorded only after this number of occurrences."""

MAX_CANDIDATES: Final = 1000
"""Maximum number of names counted but not yet recorded; beyond it, the least recently seen is dropped."""

WRITE_SECONDS: Final = 10.0
"""Interval at which the counts of recorded names are updated. A new name is recorded at once."""

_FIELD_SHAPE: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$-]{0,63}")
_VALUE_SHAPE: Final = re.compile(r"[A-Za-z_-]{1,40}")
_PLAIN: Final[Mapping[type, str]] = {type(None): "null", bool: "boolean", int: "number", float: "number"}
_SIZED: Final[Mapping[type, str]] = {str: "string", list: "array", dict: "object"}


@dataclass(frozen=True, slots=True)
class Drift:
    """One name, value or type that this version does not know.

    Args:
        name: The field's path; for an unknown value, followed by "=" and the value, but never by free text.
        event_type: The type of the first event that contained the unknown name, value or type.
        sample: The type and size of the value; for an unknown value that is shown, the value itself.
        count: How often the field was read; copies and retries of an event count too.
    """

    kind: str
    name: str
    event_type: str
    sample: str
    count: int = 1


@dataclass(slots=True)
class DriftNotes:
    """Drift that is not recorded yet. The caller records `pending()`, and then calls `mark_recorded`."""

    _names: dict[tuple[str, str], Drift] = field(default_factory=dict)
    _new: set[tuple[str, str]] = field(default_factory=set)
    _counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    _write_at: float = 0.0
    _noted: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    _candidates: OrderedDict[tuple[str, str], int] = field(default_factory=OrderedDict)

    def note_field(self, kind: str, path: str, name: str, event_type: str, value: Any) -> None:
        """Note an unknown or wrongly typed field. *path* is its object's path, ending with "."."""
        self._note(kind, path, name if _FIELD_SHAPE.fullmatch(name) else NOT_SHOWN, event_type, value)

    def note_value(self, path: str, value: str, event_type: str, *, is_closed: bool) -> None:
        """Note an unknown value of the field at *path*. The value is shown only if *is_closed* is true."""
        is_shown = is_closed and _VALUE_SHAPE.fullmatch(value)
        self._note(UNKNOWN_VALUE, f"{path}=", value if is_shown else NOT_SHOWN, event_type, value)

    def pending(self, now: float = math.inf) -> list[Drift]:
        """Return the drift to record, sorted; if no name is new, return it only every WRITE_SECONDS."""
        if not self._counts or not (self._new or now >= self._write_at):
            return []
        return [replace(self._names[key], count=self._counts[key]) for key in sorted(self._counts)]

    def mark_recorded(self, recorded: list[Drift], now: float) -> None:
        """Subtract the drift that was committed; drift that was noted in the meantime stays."""
        if not recorded:
            return
        self._write_at = now + WRITE_SECONDS
        for drift in recorded:
            key = (drift.kind, drift.name)
            self._new.discard(key)
            self._counts[key] -= drift.count
            if not self._counts[key]:
                del self._counts[key]

    def _note(self, kind: str, place: str, name: str, event_type: str, value: Any) -> None:
        key = (kind, f"{place}{name}")
        if key not in self._names:
            noted = self._noted[kind, place, event_type]
            if noted < MAX_NAMES or (noted < 2 * MAX_NAMES and self._is_frequent(key)):
                self._noted[kind, place, event_type] += 1
            else:
                name, key = MORE, (kind, f"{place}{MORE}")
        if key not in self._names:
            if name == MORE:
                logger().warning("drift_crowded", kind=kind, place=place, event_type=event_type)
            sample = value
            if kind != UNKNOWN_VALUE or name in {NOT_SHOWN, MORE}:
                # Show only the type and size of the value, not its content.
                sample = _PLAIN.get(type(value)) or f"{_SIZED[type(value)]}({len(value)})"
            self._names[key] = Drift(kind, key[1], event_type, sample)
            self._new.add(key)
        self._counts[key] += 1

    def _is_frequent(self, key: tuple[str, str]) -> bool:
        """Count a name under a path that has MAX_NAMES names; return whether it has occurred OFTEN times."""
        count = self._candidates.pop(key, 0) + 1
        if count >= OFTEN:
            return True
        self._candidates[key] = count
        if len(self._candidates) > MAX_CANDIDATES:
            self._candidates.popitem(last=False)
        return False
