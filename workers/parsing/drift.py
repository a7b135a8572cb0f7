"""Notice what the platform sends that this version does not know, once per name.

A name that is noted was made by whoever sends: a name of a person may stand where a word of the platform is
meant to. So only what has the shape of such a word is shown, and a value only where the platform has a
closed list of them.
"""

from __future__ import annotations

import re
import threading
from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from typing import Final

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

_FIELD_SHAPE: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$-]{0,63}")
_VALUE_SHAPE: Final = re.compile(r"[A-Za-z_-]{1,40}")


@dataclass(frozen=True, slots=True)
class Drift:
    """One thing this version does not know; the name never holds a value of a free-text field.

    Args:
        kind: UNKNOWN_FIELD, UNKNOWN_VALUE or WRONG_TYPE.
        name: The field's path, for values followed by "=" and the value.
        event_type: In which kind of event it was seen.
    """

    kind: str
    name: str
    event_type: str


@dataclass(slots=True)
class DriftNotes:
    """What was noticed and is not yet recorded.

    `pending` is recorded with the next transaction. Only then is a name known, so that a rolled back
    transaction loses nothing. A thread that was given up as stuck may still be at work beside the one
    that took over, hence the lock; it is taken only for names not met before.
    """

    _known: set[tuple[str, str]] = field(default_factory=set)
    _pending: dict[tuple[str, str], Drift] = field(default_factory=dict)
    _noted: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    _candidates: OrderedDict[tuple[str, str], int] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note_field(self, kind: str, path: str, name: str, event_type: str) -> None:
        """Remember an unknown field, or one of a wrong type, unless it is remembered already.

        Args:
            kind: UNKNOWN_FIELD or WRONG_TYPE.
            path: Where its object stands, ending in ".", "" for the body itself.
            name: The field's own name.
            event_type: In which kind of event it was seen.
        """
        self._note(kind, path, name if _FIELD_SHAPE.fullmatch(name) else NOT_SHOWN, event_type)

    def note_value(self, path: str, value: str, event_type: str, *, is_closed: bool) -> None:
        """Remember an unknown value of the field at *path*.

        Args:
            path: Of the field.
            value: What it says.
            event_type: In which kind of event it was seen.
            is_closed: Whether the platform has a closed list of values; any other may be a person's words.
        """
        is_shown = is_closed and _VALUE_SHAPE.fullmatch(value)
        self._note(UNKNOWN_VALUE, f"{path}=", value if is_shown else NOT_SHOWN, event_type)

    def pending(self) -> list[Drift]:
        """Return what is to be recorded, in a fixed order."""
        if not self._pending:
            return []
        with self._lock:
            return [self._pending[identity] for identity in sorted(self._pending)]

    def mark_recorded(self, recorded: list[Drift]) -> None:
        """Forget what is committed now."""
        if not recorded:
            return
        with self._lock:
            for drift in recorded:
                self._known.add((drift.kind, drift.name))
                self._pending.pop((drift.kind, drift.name), None)

    def _note(self, kind: str, place: str, name: str, event_type: str) -> None:
        identity = (kind, f"{place}{name}")
        if identity in self._known or identity in self._pending:
            return
        with self._lock:
            noted = self._noted[kind, place, event_type]
            if noted < MOST_NAMES or (noted < 2 * MOST_NAMES and self._comes_often(identity)):
                self._noted[kind, place, event_type] += 1
            else:
                identity = (kind, f"{place}{MORE}")
                if identity in self._known or identity in self._pending:
                    return
                logger().warning("drift_crowded", kind=kind, place=place, event_type=event_type)
            self._pending[identity] = Drift(kind, identity[1], event_type)

    def _comes_often(self, identity: tuple[str, str]) -> bool:
        """Count a name in a place that is full; random names push each other out."""
        count = self._candidates.pop(identity, 0) + 1
        if count >= OFTEN:
            return True
        self._candidates[identity] = count
        if len(self._candidates) > MOST_CANDIDATES:
            self._candidates.popitem(last=False)
        return False
