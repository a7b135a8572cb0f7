"""Check the values of fields that the dialects have in common; see `Checked`."""

import re
from datetime import datetime
from functools import partial
from typing import Any, Final

from marshmallow import ValidationError

from workers.parsing.schema_reader import Checked
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


def names(text: str) -> frozenset[str]:
    """Return the names in a text."""
    return frozenset(text.split())


def _is_storable(text: str) -> bool:
    return (text.isascii() and "\x00" not in text) or not _UNSTORABLE.search(text)


def identifier(value: Any) -> str:
    """Check a text that identifies something: not empty, storable unchanged, short enough for an index."""
    if not isinstance(value, str):
        raise ValidationError("is not a text")
    if not value or len(value) > MAX_IDENTIFIER:
        raise ValidationError(f"must have 1 to {MAX_IDENTIFIER} characters")
    if not _is_storable(value):
        raise ValidationError("holds a character that no database stores")
    return value


def message_id(value: Any) -> str:
    """Check a message's identifier; some senders write it as a number."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return identifier(str(value) if is_number else value)


def words(value: Any) -> str:
    """Check a text, empty or not; characters that no database stores are replaced, but in the payload."""
    if not isinstance(value, str):
        raise ValidationError("is not a text")
    return value if _is_storable(value) else _UNSTORABLE.sub(REPLACEMENT, value)


def truth(value: Any) -> bool:
    """Check a truth value."""
    if not isinstance(value, bool):
        raise ValidationError("is neither true nor false")
    return value


def mapping(value: Any) -> dict[str, Any]:
    """Check an object within an object."""
    if not isinstance(value, dict):
        raise ValidationError("is not an object")
    return value


def mappings(value: Any) -> list[dict[str, Any]]:
    """Check a list of objects."""
    if not isinstance(value, list) or not all(isinstance(member, dict) for member in value):
        raise ValidationError("is not a list of objects")
    return value


def timestamp(value: Any) -> datetime:
    """Check an RFC 3339 timestamp with an offset; return the instant in UTC."""
    if not isinstance(value, str):
        raise ValidationError("is not a text")
    try:
        return parse_timestamp(value)
    except ValueError:
        raise ValidationError("is not an RFC 3339 timestamp with a UTC offset, 1970 to 2255") from None


def epoch_milliseconds(value: Any) -> datetime:
    """Check whole milliseconds since the epoch; return the instant in UTC."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValidationError("is not a whole number of milliseconds")
    if not 0 <= value <= _LATEST_MS:
        raise ValidationError("is not a time between 1970 and 2255")
    return EPOCH + value * MILLISECOND


def sequence(value: Any) -> int:
    """Check a sequence number that fits a bigint; some senders write it as text."""
    if isinstance(value, str) and value.isdecimal() and len(value) <= MAX_SEQUENCE_DIGITS:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValidationError("is not a whole number")
    if not 0 <= value <= MAX_SEQUENCE:
        raise ValidationError(f"must be between 0 and {MAX_SEQUENCE}")
    return value


Identifier: Final = partial(Checked, identifier)
MessageId: Final = partial(Checked, message_id)
Words: Final = partial(Checked, words)
Object: Final = partial(Checked, mapping)
Objects: Final = partial(Checked, mappings)
Timestamp: Final = partial(Checked, timestamp)
Sequence: Final = partial(Checked, sequence)
