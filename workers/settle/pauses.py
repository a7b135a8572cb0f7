"""Say when an update is asked about again that the platform did not settle."""

from __future__ import annotations

from typing import Final

LONGEST_SECONDS: Final = 60.0
"""Whoever comes back, or whose credentials a person has mended, is asked within a minute."""

LONGEST_REFUSED_SECONDS: Final = 4 * 3600.0
"""A conversation of another division is never ours to see: hundreds of them cost a few requests a minute."""


def pause_unanswered(attempts: int, asked: float) -> float:
    """Return the seconds until an update is asked about again to which there was no answer.

    Args:
        attempts: How often it was asked about.
        asked: Seconds that the platform, or the budget, wants to be left alone.
    """
    return min(LONGEST_SECONDS, max(asked, 2.0 ** min(attempts, 10) / 2))


def pause_refused(attempts: int, *, is_of_credentials: bool) -> float:
    """Return the seconds until an update is asked about again of which the platform will not speak.

    Args:
        attempts: How often it was asked about.
        is_of_credentials: We are refused ourselves, and not what we ask for.
    """
    if is_of_credentials:
        return LONGEST_SECONDS
    return min(LONGEST_REFUSED_SECONDS, LONGEST_SECONDS * 2.0 ** min(attempts - 1, 10))
