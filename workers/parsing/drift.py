"""Notice what the platform sends that this version does not know, once per name."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

UNKNOWN_FIELD = "unknown_field"
UNKNOWN_VALUE = "unknown_value"
WRONG_TYPE = "wrong_type"

LONGEST_NAME = 200
MOST_NAMES = 10_000
"""A sender that puts identifiers into field names must not fill memory or the table."""


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
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, kind: str, name: str, event_type: str) -> None:
        """Remember something unknown, unless it is remembered already."""
        identity = (kind, name[:LONGEST_NAME])
        if identity in self._known or identity in self._pending:
            return
        with self._lock:
            if len(self._known) + len(self._pending) < MOST_NAMES:
                self._pending[identity] = Drift(kind, identity[1], event_type)

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
