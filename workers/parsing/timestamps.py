"""Parse the platform's timestamps: all spellings of an instant give the same value."""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)
MILLISECOND: Final = timedelta(milliseconds=1)

LATEST: Final = EPOCH + timedelta(microseconds=2**53)
"""Year 2255: PostgreSQL multiplies intervals in floating point, which is exact up to this time."""

_LEAP_SECOND: Final = re.compile(r"(?<=\d[T ]\d\d:\d\d:)60", re.ASCII)


def parse_timestamp(text: str) -> datetime:
    """Parse an RFC 3339 timestamp: the instant in UTC, truncated to microseconds.

    A leap second counts as the second after it, as in PostgreSQL.

    Raises:
        ValueError: It is not a timestamp, has no UTC offset, or is before 1970 or after 2255.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = _parse_rare_form(text)
    if moment.tzinfo is None:
        raise ValueError("has no UTC offset")
    if not EPOCH <= moment <= LATEST:
        raise ValueError("is out of range")
    return moment if moment.tzinfo is UTC else moment.astimezone(UTC)


def _parse_rare_form(text: str) -> datetime:
    """Parse what RFC 3339 permits and Python does not: a lower case z, a leap second."""
    usual, leap_seconds = _LEAP_SECOND.subn("59", text.upper())
    try:
        return datetime.fromisoformat(usual) + timedelta(seconds=leap_seconds)
    except OverflowError:
        raise ValueError("is out of range") from None


def microseconds_of(moment: datetime) -> int:
    """Return microseconds since the epoch, exact."""
    return (moment - EPOCH) // MICROSECOND


def moment_of(microseconds: int) -> datetime:
    """Return the instant of microseconds since the epoch, exact."""
    return EPOCH + timedelta(microseconds=microseconds)


def canonical_text(microseconds: int) -> str:
    """Write an instant in canonical form, which is the same for all its spellings."""
    second, rest = divmod(microseconds, 1_000_000)
    return f"{_write_second(second)}.{rest:06d}Z"


@lru_cache(maxsize=1024)
def _write_second(second: int) -> str:
    """Write a second; the result is cached, because writing is slow and most events of a batch share it."""
    return moment_of(second * 1_000_000).isoformat()[:19]
