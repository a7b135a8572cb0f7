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
TOO_MANY_REQUESTS: Final = 429
TRANSIENT: Final = frozenset({408, 421, 423, 425, TOO_MANY_REQUESTS})
"""Like all of 5xx: another attempt may well succeed."""

MAY_REFUSE_ALL: Final = frozenset({401, 403, 404, 405, 407})
"""A wrong secret or address gives these for every event; a healthy destination may give them for one."""

HOLD_SECONDS: Final = 900.0
"""How long events are held if a destination refuses everything: an operator can correct it meanwhile."""

MAX_HELD_PAUSE_SECONDS: Final = 60.0


class End(StrEnum):
    """How an attempt ended."""

    DELIVERED = "delivered"
    TRANSIENT = "transient"
    PERMANENT = "permanent"
    GONE = "gone"
    """The destination wants nothing any more."""
    EXHAUSTED = "exhausted"
    """It was tried for long enough."""
    HELD = "held"
    """The destination may be refusing everything; counts as no attempt."""


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
        if status in MAY_REFUSE_ALL:
            return End.HELD
        return End.DELIVERED if 200 <= status < 300 else End.PERMANENT

    @property
    def is_away(self) -> bool:
        """Return whether the answer, or its absence, shows that the destination is away."""
        status = self.status
        return not self.is_hopeless and (status is None or status == TOO_MANY_REQUESTS or status >= 500)

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


def pause_held(refused_seconds: float) -> float:
    """Return the seconds before an event that was refused for so long is tried again."""
    return min(max(refused_seconds, 1.0), MAX_HELD_PAUSE_SECONDS) * random.uniform(0.5, 1.0)  # noqa: S311  # as above


@dataclass(frozen=True, slots=True)
class Before:
    """The attempts before the one that is judged.

    Args:
        attempts: How many have failed; those at a destination that is away do not count.
        seconds: Since the first that failed.
        refused_seconds: Since the destination first gave this event an answer that may concern every event.
        has_taken_since: Whether it has taken another event since that answer.
    """

    attempts: int = 0
    seconds: float = 0.0
    refused_seconds: float = 0.0
    has_taken_since: bool = False


def judge(answer: Answer, destination: Destination, before: Before, *, is_probe: bool) -> End:
    """Return how an attempt ended, in view of those before it.

    Args:
        answer: The result of the attempt.
        destination: Its limits.
        before: The attempts before.
        is_probe: Whether the destination was away when it was sent, so that a failure does not count.
    """
    if answer.end is End.HELD:
        is_own = before.has_taken_since or before.refused_seconds >= HOLD_SECONDS
        return End.PERMANENT if is_own else End.HELD
    if answer.end is not End.TRANSIENT or is_probe:
        return answer.end
    is_exhausted = before.attempts + 1 >= destination.attempts or before.seconds >= destination.give_up
    return End.EXHAUSTED if is_exhausted else End.TRANSIENT
