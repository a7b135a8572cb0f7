"""Parse a Retry-After header.

Source:
    RFC 9110, section 10.2.3: seconds, or a date.
"""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def parse_retry_after(header: str | None, now: datetime) -> float | None:
    """Return the seconds to wait, which may be negative or infinite; None if there is no valid header."""
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
