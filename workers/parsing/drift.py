"""Notice what the platform sends that this version does not know, and count it, name by name.

A name that is noted was made by whoever sends: a name of a person may stand where a word of the platform is
meant to. So only what has the shape of such a word is shown, and a value only where the platform has a
closed list of them. Of any other value the shape is kept.
"""

from __future__ import annotations

import math
import re
import threading
from collections import Counter, OrderedDict
from dataclasses import dataclass, field, replace
from typing import Any, Final

from messaging.log import logger

UNKNOWN_FIELD: Final = "unknown_field"
UNKNOWN_VALUE: Final = "unknown_value"
WRONG_TYPE: Final = "wrong_type"

NOT_SHOWN: Final = "(not shown)"
MORE: Final = "(more)"

MOST_NAMES: Final = 50
"""Names noted at first sight in one place of one event type. The platform adds a handful in years; a sender
that puts identifiers into field names adds one with each event."""

OFTEN: Final = 20
"""So often a name must come in a place that has its names already: the platform's do, a random one never."""

MOST_CANDIDATES: Final = 1000
"""Names of which it is counted how often they came, the last ones seen."""

WRITE_SECONDS: Final = 10.0
"""Between two writings of how often known names came: a new name is written at once, a count can wait."""

_FIELD_SHAPE: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$-]{0,63}")
_VALUE_SHAPE: Final = re.compile(r"[A-Za-z_-]{1,40}")


@dataclass(frozen=True, slots=True)
class Drift:
    """One thing this version does not know; the name never holds a value of a free-text field.

    Args:
        kind: UNKNOWN_FIELD, UNKNOWN_VALUE or WRONG_TYPE.
        name: The field's path, for values followed by "=" and the value.
        event_type: In which kind of event it was seen.
        sample: The shape of a value that it had; of an unknown value that is shown, the value.
        count: How often it was read, copies of an event and further tries too.
    """

    kind: str
    name: str
    event_type: str
    sample: str
    count: int = 1


def shape_of(value: Any) -> str:
    """Say what kind of thing a value is, and nothing that it says."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return f"string({len(value)})"
        case list():
            return f"array({len(value)})"
        case _:
            return f"object({len(value)})"


@dataclass(slots=True)
class DriftNotes:
    """What was noticed and is not yet recorded.

    `pending` is recorded with the next transaction. Only then is it written off, so that a rolled back
    transaction loses nothing. A thread that was given up as stuck may still be at work beside the one
    that took over, hence the lock; it is taken only for names not met before. A count may lack what such a
    thread reads.
    """

    _names: dict[tuple[str, str], Drift] = field(default_factory=dict)
    _news: set[tuple[str, str]] = field(default_factory=set)
    _counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    _write_at: float = 0.0
    _noted: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    _candidates: OrderedDict[tuple[str, str], int] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note_field(self, kind: str, path: str, name: str, event_type: str, value: Any) -> None:
        """Remember an unknown field, or one of a wrong type.

        Args:
            kind: UNKNOWN_FIELD or WRONG_TYPE.
            path: Where its object stands, ending in ".", "" for the body itself.
            name: The field's own name.
            event_type: In which kind of event it was seen.
            value: What it says; only its shape is kept.
        """
        self._note(kind, path, name if _FIELD_SHAPE.fullmatch(name) else NOT_SHOWN, event_type, value)

    def note_value(self, path: str, value: str, event_type: str, *, is_closed: bool) -> None:
        """Remember an unknown value of the field at *path*.

        Args:
            path: Of the field.
            value: What it says.
            event_type: In which kind of event it was seen.
            is_closed: Whether the platform has a closed list of values; any other may be a person's words.
        """
        is_shown = is_closed and _VALUE_SHAPE.fullmatch(value)
        self._note(UNKNOWN_VALUE, f"{path}=", value if is_shown else NOT_SHOWN, event_type, value)

    def pending(self, now: float = math.inf) -> list[Drift]:
        """Return what is to be recorded, in a fixed order: at once where a name is new, else now and then.

        Args:
            now: Seconds on a clock that only rises; left out: all of it.
        """
        if not self._counts or not (self._news or now >= self._write_at):
            return []
        with self._lock:
            return [
                replace(self._names[identity], count=self._counts[identity])
                for identity in sorted(self._counts)
            ]

    def mark_recorded(self, recorded: list[Drift], now: float) -> None:
        """Write off what is committed now; what was noticed meanwhile stays."""
        if not recorded:
            return
        self._write_at = now + WRITE_SECONDS
        with self._lock:
            for drift in recorded:
                identity = (drift.kind, drift.name)
                self._news.discard(identity)
                self._counts[identity] -= drift.count
                if not self._counts[identity]:
                    del self._counts[identity]

    def _note(self, kind: str, place: str, name: str, event_type: str, value: Any) -> None:
        identity = (kind, f"{place}{name}")
        if identity in self._names:
            self._counts[identity] += 1
            return
        with self._lock:
            noted = self._noted[kind, place, event_type]
            if noted < MOST_NAMES or (noted < 2 * MOST_NAMES and self._comes_often(identity)):
                self._noted[kind, place, event_type] += 1
            else:
                identity = (kind, f"{place}{MORE}")
                if identity in self._names:
                    self._counts[identity] += 1
                    return
                logger().warning("drift_crowded", kind=kind, place=place, event_type=event_type)
            is_told = kind == UNKNOWN_VALUE and name not in {NOT_SHOWN, MORE}
            self._names[identity] = Drift(
                kind, identity[1], event_type, value if is_told else shape_of(value)
            )
            self._news.add(identity)
            self._counts[identity] += 1

    def _comes_often(self, identity: tuple[str, str]) -> bool:
        """Count a name in a place that is full; random names push each other out."""
        count = self._candidates.pop(identity, 0) + 1
        if count >= OFTEN:
            return True
        self._candidates[identity] = count
        if len(self._candidates) > MOST_CANDIDATES:
            self._candidates.popitem(last=False)
        return False
