"""Read an object by a marshmallow schema, quickly and without refusing unknown fields.

`Schema.load` would make intake half as expensive again: it spends most of its time on hooks and error stores
that are not used here. A reader takes the fields from the schema once and then calls only each field's
`_deserialize`, which checks the value (docs/decisions/0102-schema-reader.md). It refuses a schema with a
feature that only `Schema.load` applies.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from marshmallow import EXCLUDE, Schema, ValidationError, missing
from marshmallow.fields import Field

from messaging.errors import RejectedEventError
from workers.parsing.drift import UNKNOWN_FIELD, WRONG_TYPE, DriftNotes

MAX_UNKNOWN: Final = 100
"""Unknown names looked at in one object; an object with more is a mapping, not a record."""

STRICT: Final = {"strict": True}
"""Metadata of an optional field that identifies the event's conversation: of the wrong type, it refuses the
event.

Any other optional field of the wrong type is noted as drift and left out.
"""


class LenientSchema(Schema):
    """A schema that never refuses an unknown field."""

    unread: ClassVar[frozenset[str]] = frozenset()
    """Known names that are not read: free-form, secret, personal or not needed."""

    class Meta:
        """marshmallow's own switch, for callers of `load`."""

        unknown = EXCLUDE


@dataclass(frozen=True, slots=True)
class _Entry:
    """One field: its attribute here, its name in the object, its check, its known values; see `choice`."""

    attribute: str
    name: str
    deserialize: Callable[..., Any]
    known: frozenset[str] | None
    is_closed: bool
    strict: bool


class SchemaReader:
    """One schema, ready to read many objects.

    Args:
        schema: Flat: an object within an object has a reader of its own.
        path: The object's position in the body, "" for the body itself.

    Raises:
        TypeError: The schema uses a feature of marshmallow that this reader does not honour.
    """

    def __init__(self, schema: LenientSchema, path: str = "") -> None:
        if unsupported := _find_unsupported(schema):
            raise TypeError(f"{type(schema).__name__}: the reader does not honour {', '.join(unsupported)}")
        self._prefix = f"{path}." if path else ""
        entries = [_make_entry(name, field) for name, field in schema.load_fields.items()]
        self._entries: dict[str, _Entry | None] = dict.fromkeys(schema.unread)
        self._entries |= {entry.name: entry for entry in entries}
        self._required = [
            field.data_key or name for name, field in schema.load_fields.items() if field.required
        ]

    def read(self, data: Mapping[str, Any], notes: DriftNotes, event_type: str) -> dict[str, Any]:
        """Return the known fields that are present, by attribute; null counts as absent.

        Raises:
            RejectedEventError: A required or strict field is missing or malformed.
        """
        values: dict[str, Any] = {}
        entries, unknown = self._entries, 0
        for name, value in data.items():
            if name not in entries:
                unknown += 1
                if unknown <= MAX_UNKNOWN:
                    notes.note_field(UNKNOWN_FIELD, self._prefix, name, event_type, value)
            elif value is not None and (entry := entries[name]) is not None:
                self._read_field(entry, value, values, notes, event_type)
        for name in self._required:
            if data.get(name) is None:
                raise RejectedEventError("missing_field", f"{self._prefix}{name}: is missing")
        return values

    def read_member(
        self, member: Mapping[str, Any] | None, notes: DriftNotes, event_type: str
    ) -> dict[str, Any]:
        """Read an object within an object, which may be absent."""
        return self.read(member, notes, event_type) if member else {}

    def _read_field(
        self, entry: _Entry, value: Any, values: dict[str, Any], notes: DriftNotes, event_type: str
    ) -> None:
        try:
            read = entry.deserialize(value, entry.name, None)
        except ValidationError as error:
            if entry.strict:
                problem = str(error.messages[0])
                raise RejectedEventError("invalid_field", f"{self._prefix}{entry.name}: {problem}") from None
            notes.note_field(WRONG_TYPE, self._prefix, entry.name, event_type, value)
            return
        values[entry.attribute] = read
        if entry.known is not None and read not in entry.known:
            notes.note_value(f"{self._prefix}{entry.name}", read, event_type, is_closed=entry.is_closed)


def _find_unsupported(schema: LenientSchema) -> list[str]:
    """Return the features of a schema that `Schema.load` or `Field.deserialize` would apply."""
    hooks = [name for name, value in vars(type(schema)).items() if inspect.isfunction(value)]
    options = {"many": schema.many, "partial": schema.partial, "unknown": schema.unknown != EXCLUDE}
    found = [*hooks, *(name for name, is_used in options.items() if is_used)]
    for name, field in schema.load_fields.items():
        features = {
            "validate": bool(field.validators),
            "load_default": field.load_default is not missing,
            "allow_none": field.allow_none,
            "attribute": field.attribute is not None,
            "deserialize": type(field).deserialize is not Field.deserialize,
        }
        found += [f"{feature} of {name}" for feature, is_used in features.items() if is_used]
    return found


def _make_entry(attribute: str, field: Field[Any]) -> _Entry:
    return _Entry(
        attribute,
        field.data_key or attribute,
        # The method that every custom field overrides. `deserialize` around it handles null, defaults and
        # validators, which takes as long as the check itself.
        field._deserialize,  # noqa: SLF001
        field.metadata.get("known"),
        field.metadata.get("is_closed", True),
        field.required or "strict" in field.metadata,
    )
