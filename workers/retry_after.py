"""Read a Retry-After header.

Source:
    RFC 9110, section 10.2.3: seconds, or a date.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def seconds_asked(header: str | None, now: datetime) -> float | None:
    """Return the seconds that a header asks to wait, None where it says nothing that can be read.

    Args:
        header: As it came. What it says may be negative, or infinite.
        now: The present, aware.
    """
    if not header:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            moment = parsedate_to_datetime(header)
        except ValueError:
            return None
        seconds = ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now).total_seconds()
    return seconds if seconds == seconds else None  # noqa: PLR0124  # NaN
