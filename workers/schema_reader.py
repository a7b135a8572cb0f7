"""Read an object by a marshmallow schema, quickly and without refusing what is new.

`Schema.load` costs 16 µs for eight flat fields and twice as much nested, most of it for hooks and error
stores that are not used here. A reader asks the schema once for its fields and then calls only their own
`deserialize`, which does the checking: 5 to 8 µs (docs/decisions/0102-schema-reader.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from marshmallow import EXCLUDE, Schema, ValidationError

from messaging.errors import RejectedEventError
from workers.drift import UNKNOWN_FIELD, UNKNOWN_VALUE, WRONG_TYPE, DriftNotes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

STRICT = {"strict": True}
"""Metadata of an optional field that decides identity or order: of the wrong type, it refuses the event.

Any other optional field of the wrong type is noted as drift and left out.
"""


class LenientSchema(Schema):
    """A schema that never refuses an unknown field."""

    class Meta:
        """marshmallow's own switch, for whoever calls `load` as well."""

        unknown = EXCLUDE


class SchemaReader:
    """One schema, ready to read many objects.

    Args:
        schema: Flat: an object within an object has a reader of its own.
        path: Where the object stands in the body, "" for the body itself.
    """

    def __init__(self, schema: LenientSchema, path: str = "") -> None:
        self._prefix = f"{path}." if path else ""
        self._names = frozenset(field.data_key or name for name, field in schema.load_fields.items())
        self._fields: list[tuple[str, str, Callable[..., Any], bool, frozenset[str] | None]] = [
            (
                attribute,
                field.data_key or attribute,
                field.deserialize,
                field.required or "strict" in field.metadata,
                field.metadata.get("known"),
            )
            for attribute, field in schema.load_fields.items()
        ]
        self._required = [
            field.data_key or name for name, field in schema.load_fields.items() if field.required
        ]

    def read(self, data: Mapping[str, Any], notes: DriftNotes, event_type: str) -> dict[str, Any]:
        """Return the known fields that are there, by attribute; null is the same as absent.

        Raises:
            RejectedEventError: A required field is missing, or one that decides identity is malformed.
        """
        values: dict[str, Any] = {}
        for attribute, name, deserialize, is_strict, known in self._fields:
            value = data.get(name)
            if value is None:
                continue
            try:
                values[attribute] = value = deserialize(value, name, data)
            except ValidationError as error:
                self._refuse_or_note(name, error, notes, event_type, is_strict=is_strict)
                continue
            if known is not None and value not in known:
                notes.note(UNKNOWN_VALUE, f"{self._prefix}{name}={value}", event_type)
        for name in self._required:
            if data.get(name) is None:
                raise RejectedEventError("missing_field", f"{self._prefix}{name}: is missing")
        if not data.keys() <= self._names:
            for name in sorted(data.keys() - self._names):
                notes.note(UNKNOWN_FIELD, f"{self._prefix}{name}", event_type)
        return values

    def read_member(
        self, member: Mapping[str, Any] | None, notes: DriftNotes, event_type: str
    ) -> dict[str, Any]:
        """Read an object within an object, which may be absent."""
        return self.read(member, notes, event_type) if member else {}

    def _refuse_or_note(
        self, name: str, error: ValidationError, notes: DriftNotes, event_type: str, *, is_strict: bool
    ) -> None:
        if is_strict:
            problem = str(error.args[0][0] if isinstance(error.args[0], list) else error.args[0])
            raise RejectedEventError("invalid_field", f"{self._prefix}{name}: {problem}") from None
        notes.note(WRONG_TYPE, f"{self._prefix}{name}", event_type)
