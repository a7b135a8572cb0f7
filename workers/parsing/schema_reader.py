"""Read objects with marshmallow's schemas, quickly and without refusing unknown fields.

`Schema.load` would make intake 50% slower, because it spends most of its time on hooks and error stores that
are not used here. `LenientSchema.read` only calls each field's check
(docs/decisions/0102-schema-reader.md).
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any, ClassVar, Final

from marshmallow import Schema, ValidationError
from marshmallow.fields import Field

from messaging.errors import RejectedEventError
from workers.parsing.drift import UNKNOWN_FIELD, WRONG_TYPE, DriftNotes
from workers.parsing.timestamps import LATEST, microseconds_of, moment_of, parse_timestamp

MAX_UNKNOWN: Final = 100
"""Maximum number of unknown names noted in one object. An object with more is a mapping, not a record."""


class Checked(Field[Any]):
    """A field whose values a function checks. Other features of marshmallow are not supported.

    Args:
        check: Returns the value to use, or raises a ValidationError that does not quote the value.
        name: The field's name in the object, if it differs from the attribute's name.
        required: Refuse the event if the field is missing or malformed.
        is_strict: Refuse the event if the field is malformed; otherwise note the field as drift and omit it.
        known: The known values; other values are kept and noted as drift.
        is_closed: Whether *known* is the platform's complete list; see workers/parsing/drift.py.
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
    """A flat schema of Checked fields; an object within an object has its own schema.

    *path* is the object's path in the body, "" for the body itself. A subclass raises TypeError if it has
    fields of a different class, methods such as hooks, or Meta, because `read` does not support these.
    """

    unread: ClassVar[frozenset[str]] = frozenset()
    """Names of known fields that are not read, because they are free-form, secret, personal or not needed."""

    def __init__(self, path: str = "") -> None:
        super().__init__()
        if (members := {*dir(type(self))} - {*dir(LenientSchema)}) or self.Meta is not Schema.Meta:
            raise TypeError(f"{type(self).__name__} may only have fields, not {', '.join(members) or 'Meta'}")
        self._prefix = f"{path}." if path else ""
        self.names: dict[str, tuple[str, Checked]] = {}
        for attribute, field in self.load_fields.items():
            if not isinstance(field, Checked):
                raise TypeError(f"{type(self).__name__}.{attribute} is not a Checked field")
            self.names[field.data_key or attribute] = (attribute, field)
        self._entries = dict.fromkeys(self.unread) | self.names
        self._required = [name for name, (_, field) in self.names.items() if field.required]

    def read(self, data: Mapping[str, Any] | None, notes: DriftNotes, event_type: str) -> dict[str, Any]:
        """Return the values of the known fields, by attribute. A field that is null counts as absent.

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


MAX_IDENTIFIER: Final = 255
"""Longest identifier. Real identifiers are shorter, and PostgreSQL limits index entries to 2,704 bytes."""

MAX_SEQUENCE: Final = 2**63 - 1
"""The largest sequence number that a bigint column can store."""

_LATEST_MS: Final = microseconds_of(LATEST) // 1000

_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")
"""Characters that JSON permits but databases cannot store: NUL and lone surrogates."""


def names(text: str) -> frozenset[str]:
    """Return the names in a whitespace-separated text."""
    return frozenset(text.split())


def _is_storable(text: str) -> bool:
    return (text.isascii() and "\x00" not in text) or not _UNSTORABLE.search(text)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _check_type(kind: type, problem: str) -> Callable[[Any], Any]:
    """Return a check that accepts the values of one type."""

    def check(value: Any) -> Any:
        if not isinstance(value, kind):
            raise ValidationError(problem)
        return value

    return check


mapping: Final = _check_type(dict, "is not an object")
truth: Final = _check_type(bool, "is neither true nor false")


def identifier(value: Any) -> str:
    """Check an identifier: text that is not empty, can be stored unchanged, and is short enough to index."""
    if not isinstance(value, str):
        raise ValidationError("is not a string")
    if not value or len(value) > MAX_IDENTIFIER:
        raise ValidationError(f"must have 1 to {MAX_IDENTIFIER} characters")
    if not _is_storable(value):
        raise ValidationError("contains a character that databases cannot store")
    return value


def message_id(value: Any) -> str:
    """Check a message's identifier; some senders write it as a number."""
    return identifier(str(value) if _is_whole(value) else value)


def words(value: Any) -> str:
    """Check a text, which may be empty; return it with any unstorable characters replaced."""
    if not isinstance(value, str):
        raise ValidationError("is not a string")
    return value if _is_storable(value) else _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", value)


def mappings(value: Any) -> list[dict[str, Any]]:
    """Check a list of objects."""
    if not isinstance(value, list) or not all(isinstance(member, dict) for member in value):
        raise ValidationError("is not a list of objects")
    return value


def timestamp(value: Any) -> datetime:
    """Check an RFC 3339 timestamp with a UTC offset; return the instant in UTC."""
    if not isinstance(value, str):
        raise ValidationError("is not a string")
    try:
        return parse_timestamp(value)
    except ValueError:
        raise ValidationError("is not an RFC 3339 timestamp with a UTC offset, 1970 to 2255") from None


def epoch_milliseconds(value: Any) -> datetime:
    """Check a whole number of milliseconds since the epoch; return the instant in UTC."""
    if not _is_whole(value):
        raise ValidationError("is not a whole number of milliseconds")
    if not 0 <= value <= _LATEST_MS:
        raise ValidationError("is not a time between 1970 and 2255")
    return moment_of(1000 * value)


def sequence(value: Any) -> int:
    """Check a sequence number that fits a bigint; some senders write it as text."""
    is_text = isinstance(value, str) and value.isdecimal() and len(value) <= len(str(MAX_SEQUENCE))
    number = int(value) if is_text else value
    if not _is_whole(number):
        raise ValidationError("is not a whole number")
    if not 0 <= number <= MAX_SEQUENCE:
        raise ValidationError(f"must be between 0 and {MAX_SEQUENCE}")
    return int(number)


Identifier: Final = partial(Checked, identifier)
MessageId: Final = partial(Checked, message_id)
Words: Final = partial(Checked, words)
Object: Final = partial(Checked, mapping)
Objects: Final = partial(Checked, mappings)
Timestamp: Final = partial(Checked, timestamp)
Sequence: Final = partial(Checked, sequence)
