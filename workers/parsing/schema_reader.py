"""Read objects by marshmallow's schemas, quickly and without refusing unknown fields.

`Schema.load` would make intake half as expensive again: it spends most of its time on hooks and error stores
that are not used here. `LenientSchema.read` calls only each field's check
(docs/decisions/0102-schema-reader.md).
"""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final

from marshmallow import EXCLUDE, Schema, ValidationError
from marshmallow.fields import Field

from messaging.errors import RejectedEventError
from workers.parsing.drift import UNKNOWN_FIELD, WRONG_TYPE, DriftNotes

MAX_UNKNOWN: Final = 100
"""Unknown names looked at in one object; an object with more is a mapping, not a record."""


class Checked(Field[Any]):
    """A field whose values a function checks; marshmallow's other features have no place in it.

    Args:
        check: Returns the value to use, or raises ValidationError, without quoting the value.
        name: In the object, if it is not the attribute's.
        required: Without it, or if it is malformed, the event is refused.
        is_strict: If it is malformed, the event is refused. Any other field is noted as drift and left out.
        known: Its values; others are kept and noted as drift.
        is_closed: Whether the known values are a list of the platform; see workers/parsing/drift.py.
    """

    def __init__(
        self,
        check: Callable[[Any], Any],
        name: str | None = None,
        *,
        required: bool = False,
        is_strict: bool = False,
        known: frozenset[str] | None = None,
        is_closed: bool = True,
    ) -> None:
        super().__init__(data_key=name, required=required)
        self.check = check
        self.is_strict = required or is_strict
        self.known = known
        self.is_closed = is_closed


class LenientSchema(Schema):
    """A flat schema of Checked fields: an object within an object has a schema of its own.

    The path is the object's position in the body, "" for the body itself. Any other field is refused: it may
    have a feature that `read` does not honour.
    """

    unread: ClassVar[frozenset[str]] = frozenset()
    """Known names that are not read: free-form, secret, personal or not needed."""

    class Meta:
        """marshmallow's own switch."""

        unknown = EXCLUDE

    def __init__(self, path: str = "") -> None:
        super().__init__()
        self._prefix = f"{path}." if path else ""
        self.names: dict[str, tuple[str, Checked]] = {}
        for attribute, field in self.load_fields.items():
            if not isinstance(field, Checked):
                raise TypeError(f"{type(self).__name__}.{attribute} is not a Checked field")
            self.names[field.data_key or attribute] = (attribute, field)
        self._entries = dict.fromkeys(self.unread) | self.names
        self._required = [name for name, (_, field) in self.names.items() if field.required]

    def read(self, data: Mapping[str, Any] | None, notes: DriftNotes, event_type: str) -> dict[str, Any]:
        """Return the known fields that are present, by attribute; null, or no object, counts as absent.

        Raises:
            RejectedEventError: A required or strict field is missing or malformed.
        """
        data, values = data or {}, {}
        entries, unknown = self._entries, 0
        for name, value in data.items():
            if name not in entries:
                unknown += 1
                if unknown <= MAX_UNKNOWN:
                    notes.note_field(UNKNOWN_FIELD, self._prefix, name, event_type, value)
            elif value is not None and (entry := entries[name]) is not None:
                attribute, field = entry
                try:
                    values[attribute] = field.check(value)
                except ValidationError as error:
                    if field.is_strict:
                        reason = f"{self._prefix}{name}: {error.messages[0]}"
                        raise RejectedEventError("invalid_field", reason) from None
                    notes.note_field(WRONG_TYPE, self._prefix, name, event_type, value)
                    continue
                if field.known is not None and values[attribute] not in field.known:
                    path, is_closed = f"{self._prefix}{name}", field.is_closed
                    notes.note_value(path, values[attribute], event_type, is_closed=is_closed)
        for name in self._required:
            if data.get(name) is None:
                raise RejectedEventError("missing_field", f"{self._prefix}{name}: is missing")
        return values
