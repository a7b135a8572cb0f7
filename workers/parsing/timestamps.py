"""Read the platform's timestamps: one instant, whatever its spelling."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)

LATEST: Final = EPOCH + timedelta(microseconds=2**53)
"""Year 2255: PostgreSQL multiplies intervals in floating point, which is exact up to here."""


def parse_timestamp(text: str) -> datetime:
    """Read an RFC 3339 timestamp.

    Returns:
        The instant in UTC; fractions finer than a microsecond are cut off.

    Raises:
        ValueError: It is no timestamp, has no UTC offset and so names no instant, or lies before 1970 or
            after 2255.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("has no UTC offset")
    if not EPOCH <= moment <= LATEST:
        raise ValueError("is out of range")
    return moment if moment.tzinfo is UTC else moment.astimezone(UTC)


def microseconds_of(moment: datetime) -> int:
    """Return microseconds since the epoch, exact."""
    return (moment - EPOCH) // MICROSECOND


def moment_of(microseconds: int) -> datetime:
    """Return the instant of microseconds since the epoch, exact."""
    return EPOCH + timedelta(microseconds=microseconds)
