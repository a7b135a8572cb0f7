"""Compare a routing update with the platform's state of its conversation, and decide what follows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import UUID

from workers.parsing import ALERTING, ENDED, QUEUED, ROUTED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workers.genesys import PlatformState
    from workers.settle.plan import Pending

UNKNOWN_TO_THE_PLATFORM: Final = "UNKNOWN"
"""The state of a conversation that the platform does not have."""

AGREES: Final[Mapping[str, frozenset[str]]] = {
    QUEUED: frozenset({QUEUED}),
    # The contact is routed when an agent is alerted: whether they answer is no matter of routing.
    ROUTED: frozenset({ROUTED, ALERTING}),
    # An agent who is alerted may have answered by the time the platform is asked.
    ALERTING: frozenset({ALERTING, ROUTED}),
    ENDED: frozenset({ENDED}),
}
"""The platform's states that confirm an update, by its own status. Other statuses cannot be looked up."""

CONFIRMED: Final = "confirmed"
CONTRADICTED: Final = "contradicted"
ASK_AGAIN: Final = "ask again"
TOO_LATE: Final = "too late"

SURE_AFTER_SECONDS: Final = 5.0
"""The platform's API may be behind its own notifications: an earlier contradiction counts for nothing."""

SURE_UNTIL_SECONDS: Final = 15.0
"""The state that a later answer names may have come after the update, which was true in its time."""

SECOND_ASK_SECONDS: Final = 2.0
"""The age at which an update is asked about for the second time; most windows close then."""


def state_name(update: Pending, platform: PlatformState | None) -> str:
    """Return the platform's state in one word, with the routing queue if it is not the update's.

    Args:
        update: The update that it is compared with.
        platform: The state; None if the platform has no such conversation.
    """
    if platform is None:
        return UNKNOWN_TO_THE_PLATFORM
    name = platform.status or "NONE"
    if name == update.routing_status == QUEUED:
        ours, theirs = _queue_id(update.routing_queue), _queue_id(platform.routing_queue)
        if ours and theirs and ours != theirs:
            return f"{name} in {platform.routing_queue}"
    return name


def judge(update: Pending, platform: PlatformState | None, age: float) -> str:
    """Decide what an answer means for an update.

    Args:
        update: The update.
        platform: The answer; None if the platform has no such conversation.
        age: Seconds from the update's arrival to the request.

    Returns:
        CONFIRMED, also of a status that cannot be looked up; CONTRADICTED; ASK_AGAIN if the contradiction is
        too early to count; TOO_LATE if no answer can decide on the update any more.
    """
    expected = AGREES.get(update.routing_status or "")
    if expected is None or state_name(update, platform) in expected:
        return CONFIRMED
    if age < SURE_AFTER_SECONDS:
        return ASK_AGAIN
    return CONTRADICTED if age <= SURE_UNTIL_SECONDS else TOO_LATE


def seconds_until_next_ask(age: float, delay: float = 0.0) -> float:
    """Return how long to wait before an update is asked about again: first by ages, then ever longer.

    Args:
        age: Seconds since the update's arrival.
        delay: Seconds that the platform wants to be left alone.
    """
    ages = (SECOND_ASK_SECONDS, SURE_AFTER_SECONDS, 2 * age)
    return max(delay, next(each for each in ages if each > age) - age)


def _queue_id(queue: str | None) -> UUID | None:
    """Read a routing queue's id; a name is not compared with an id."""
    try:
        return UUID(queue)
    except (TypeError, ValueError):
        return None
