"""Parse the platform's timestamps; different notations of the same instant give the same value."""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)

LATEST: Final = EPOCH + timedelta(microseconds=2**53)
"""Latest accepted time, in the year 2255. PostgreSQL's floating-point intervals are exact up to this time."""

_LEAP_SECOND: Final = re.compile(r"(?<=\d[T ]\d\d:\d\d:)60", re.ASCII)


def parse_timestamp(text: str) -> datetime:
    """Parse an RFC 3339 timestamp; return the instant in UTC, truncated to microseconds.

    A leap second counts as the second that follows it, as in PostgreSQL.

    Raises:
        ValueError: *text* is not a timestamp, has no UTC offset, or is before 1970 or after 2255.
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
    """Parse a timestamp that RFC 3339 permits but Python does not: with a lower-case z or a leap second."""
    usual, leap_seconds = _LEAP_SECOND.subn("59", text.upper())
    try:
        return datetime.fromisoformat(usual) + timedelta(seconds=leap_seconds)
    except OverflowError:
        raise ValueError("is out of range") from None


def microseconds_of(moment: datetime) -> int:
    """Return the exact number of microseconds from the epoch to an instant."""
    return (moment - EPOCH) // MICROSECOND


def moment_of(microseconds: int) -> datetime:
    """Return the instant that is exactly *microseconds* after the epoch."""
    return EPOCH + timedelta(microseconds=microseconds)


def canonical_text(microseconds: int) -> str:
    """Return the canonical text of an instant; each instant has exactly one."""
    second, rest = divmod(microseconds, 1_000_000)
    return f"{_write_second(second)}.{rest:06d}Z"


@lru_cache(maxsize=1024)
def _write_second(second: int) -> str:
    """Return a time as text, to the second; cached, because most events of a batch share a second."""
    return moment_of(second * 1_000_000).isoformat()[:19]
