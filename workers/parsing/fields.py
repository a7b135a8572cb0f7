"""marshmallow fields that the dialects have in common."""

import re
from datetime import datetime
from typing import Any, Final

from marshmallow import ValidationError, fields

from workers.parsing.schema_reader import STRICT
from workers.parsing.timestamps import EPOCH, LATEST, MILLISECOND, parse_timestamp

MAX_IDENTIFIER: Final = 255
"""Far above any identifier seen, far below the limit of an index entry (2,704 bytes in PostgreSQL)."""

MAX_SEQUENCE: Final = 2**63 - 1
"""The largest bigint."""

MAX_SEQUENCE_DIGITS: Final = len(str(MAX_SEQUENCE))

_LATEST_MS: Final = (LATEST - EPOCH) // MILLISECOND

_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")
"""Characters that JSON has and no database does: NUL, and halves of surrogate pairs."""

REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"


def _is_storable(text: str) -> bool:
    return (text.isascii() and "\x00" not in text) or not _UNSTORABLE.search(text)


class Identifier(fields.Field[str]):
    """Text that identifies something: not empty, storable unchanged, and short enough for an index."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str:
        if not isinstance(value, str):
            raise ValidationError("is not a text")
        if not value or len(value) > MAX_IDENTIFIER:
            raise ValidationError(f"must have 1 to {MAX_IDENTIFIER} characters")
        if not _is_storable(value):
            raise ValidationError("holds a character that no database stores")
        return value


class MessageId(Identifier):
    """A message's identifier; some senders write it as a number."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str:
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        return super()._deserialize(value)


class Words(fields.Field[str]):
    """Text, empty or not; characters that no database stores are replaced. The payload keeps them."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str:
        if not isinstance(value, str):
            raise ValidationError("is not a text")
        return value if _is_storable(value) else _UNSTORABLE.sub(REPLACEMENT, value)


class LowerCase(Words):
    """Text whose case has no meaning."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str:
        return super()._deserialize(value).lower()


class Object(fields.Field["dict[str, Any]"]):
    """An object within an object; it has a reader of its own."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ValidationError("is not an object")
        return value


class Objects(fields.Field["list[dict[str, Any]]"]):
    """A list of objects."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> list[dict[str, Any]]:
        if not isinstance(value, list) or not all(isinstance(member, dict) for member in value):
            raise ValidationError("is not a list of objects")
        return value


class TextOrObject(Object):
    """A message: an object, or its text alone."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> dict[str, Any]:
        return {"text": value} if isinstance(value, str) else super()._deserialize(value)


class Timestamp(fields.Field["datetime"]):
    """An RFC 3339 timestamp with an offset, as an instant in UTC."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> datetime:
        if not isinstance(value, str):
            raise ValidationError("is not a text")
        try:
            return parse_timestamp(value)
        except ValueError:
            raise ValidationError("is not an RFC 3339 timestamp with a UTC offset, 1970 to 2255") from None


class EpochMilliseconds(fields.Field["datetime"]):
    """Whole milliseconds since the epoch, as an instant in UTC."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> datetime:
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValidationError("is not a whole number of milliseconds")
        if not 0 <= value <= _LATEST_MS:
            raise ValidationError("is not a time between 1970 and 2255")
        return EPOCH + value * MILLISECOND


class Sequence(fields.Field[int]):
    """A sequence number that fits a bigint; some senders write it as text."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> int:
        if isinstance(value, str) and value.isdecimal() and len(value) <= MAX_SEQUENCE_DIGITS:
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValidationError("is not a whole number")
        if not 0 <= value <= MAX_SEQUENCE:
            raise ValidationError(f"must be between 0 and {MAX_SEQUENCE}")
        return value


def identity(name: str, *, required: bool = False) -> Identifier:
    """Return a field that identifies the conversation: if it is malformed, the event is refused."""
    return Identifier(data_key=name, required=required, metadata=STRICT)


def choice(name: str, known: frozenset[str], *, is_closed: bool = True) -> Words:
    """Return a text field whose unknown values are kept and noted as drift.

    Args:
        name: Of the field.
        known: Its values.
        is_closed: Whether they are a list of the platform; see workers/parsing/drift.py.
    """
    return Words(data_key=name, metadata={"known": known, "is_closed": is_closed})
