"""Decide what an attempt's end means, and when the next one is: values in, values out."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from workers.retry_after import seconds_asked

if TYPE_CHECKING:
    from datetime import datetime

    from workers.deliver.destinations import Destination

FIRST_SECONDS: Final = 1.0
CAP_SECONDS: Final = 300.0
"""Twelve attempts take about a quarter of an hour: longer than a restart, shorter than a shift."""

LONGEST_RETRY_AFTER: Final = 3600.0

GONE: Final = 410
TRANSIENT: Final = frozenset({408, 421, 423, 425, 429})
"""Beside all of 5xx: another attempt may well succeed."""


class End(StrEnum):
    """How an attempt ended."""

    DELIVERED = "delivered"
    TRANSIENT = "transient"
    PERMANENT = "permanent"
    GONE = "gone"
    """The destination wants nothing any more."""
    EXHAUSTED = "exhausted"
    """It was tried for long enough."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one request.

    Args:
        status: The HTTP status; None where no answer came.
        reason: In a word: the status, or why there is none. Never what the answer says.
        retry_after: Seconds after which the destination wants to be asked again; None: it does not say.
        is_hopeless: Whether there is nothing to send any more.
    """

    status: int | None
    reason: str
    retry_after: float | None = None
    is_hopeless: bool = False

    @property
    def end(self) -> End:
        """Return how the attempt ended."""
        status = self.status
        if self.is_hopeless:
            return End.PERMANENT
        if status is None or status in TRANSIENT or status >= 500:
            return End.TRANSIENT
        if status == GONE:
            return End.GONE
        return End.DELIVERED if 200 <= status < 300 else End.PERMANENT

    @property
    def is_success(self) -> bool:
        """Tell whether the destination has taken the event."""
        return self.end is End.DELIVERED


def retry_after(header: str | None, now: datetime) -> float | None:
    """Return the seconds that a Retry-After header asks for, within reason: a number or a date."""
    seconds = seconds_asked(header, now)
    return None if seconds is None else min(max(seconds, 0.0), LONGEST_RETRY_AFTER)


def pause_after(attempts: int, asked: float | None = None) -> float:
    """Return the seconds before the next attempt: exponential with full jitter, never sooner than asked.

    Source:
        "Exponential Backoff And Jitter", AWS Architecture Blog: full jitter.
    """
    ceiling = min(CAP_SECONDS, FIRST_SECONDS * 2.0 ** min(max(attempts - 1, 0), 16))
    return max(asked or 0.0, random.uniform(0.0, ceiling))  # noqa: S311  # spreads attempts out, guards nothing


def judged(answer: Answer, destination: Destination, *, attempts: int, seconds: float) -> End:
    """Return how an attempt ended, in view of those before it.

    Args:
        answer: What came of it.
        destination: Its bounds.
        attempts: How many have failed with this one; those at a destination that is down are not counted.
        seconds: Since the first that failed.
    """
    if answer.end is not End.TRANSIENT:
        return answer.end
    is_exhausted = attempts >= destination.attempts or seconds >= destination.give_up
    return End.EXHAUSTED if is_exhausted else End.TRANSIENT
