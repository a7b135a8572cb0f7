"""Read the platform's timestamps and write ours: one instant, one text, whatever its spelling."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)


def parse_timestamp(text: str) -> datetime:
    """Read an RFC 3339 timestamp.

    Returns:
        The instant in UTC; fractions finer than a microsecond are cut off.

    Raises:
        ValueError: It is no timestamp, or has no UTC offset and so names no instant.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is UTC:
        return moment
    if moment.tzinfo is None:
        raise ValueError("has no UTC offset")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("is out of range") from None


def microseconds_of(moment: datetime) -> int:
    """Return microseconds since the epoch, exact."""
    return (moment - EPOCH) // MICROSECOND


def moment_of(microseconds: int) -> datetime:
    """Return the instant of microseconds since the epoch, exact."""
    return EPOCH + timedelta(microseconds=microseconds)


def stored_text(microseconds: int) -> str:
    """Return the text that PostgreSQL casts to timestamptz and SQLite keeps: UTC, always 26 characters.

    The fixed width makes SQLite's order of texts the order of times.
    """
    return (EPOCH + timedelta(microseconds=microseconds)).isoformat(" ", "microseconds")[:26]
