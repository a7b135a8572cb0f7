"""Verify a routing update against the platform's state of its conversation, without side effects."""

from collections.abc import Mapping
from enum import Enum, auto
from typing import Final
from uuid import UUID

from workers.genesys import PlatformState
from workers.parsing import ALERTING, ENDED, QUEUED, ROUTED
from workers.settle.plan import PendingEvent

UNKNOWN_TO_THE_PLATFORM: Final = "UNKNOWN"
"""The state of a conversation that the platform does not have."""

AGREES: Final[Mapping[str, frozenset[str]]] = {
    QUEUED: frozenset({QUEUED}),
    # The contact is routed when an agent is alerted; routing does not depend on whether the agent answers.
    ROUTED: frozenset({ROUTED, ALERTING}),
    # An agent who is alerted may have answered by the time the platform is asked.
    ALERTING: frozenset({ALERTING, ROUTED}),
    ENDED: frozenset({ENDED}),
}
"""The platform's states that confirm an update, by the update's status; no other can be looked up."""

SURE_AFTER_SECONDS: Final = 5.0
"""The platform's API may lag behind its notifications, so a contradiction before this age is ignored."""

SURE_UNTIL_SECONDS: Final = 15.0
"""An answer after this age may show a newer state, although the update was correct when it was sent."""

SECOND_ASK_SECONDS: Final = 2.0
"""The age at which the platform is queried about an update again; most windows close then."""


class Verdict(Enum):
    """What an answer of the platform means for an update."""

    CONFIRMED = auto()
    """Also the verdict for a status that cannot be looked up."""
    CONTRADICTED = auto()
    ASK_AGAIN = auto()
    """The contradiction is too early to count."""
    TOO_LATE = auto()
    """The update is too old for any answer to decide on it."""


def describe_state(update: PendingEvent, platform: PlatformState | None) -> str:
    """Return the platform's state as a code, with the routing queue if it differs from the update's."""
    if platform is None:
        return UNKNOWN_TO_THE_PLATFORM
    name = platform.status or "NONE"
    if name == update.routing_status == QUEUED:
        ours, theirs = _parse_queue(update.routing_queue), _parse_queue(platform.routing_queue)
        if ours and theirs and ours != theirs:
            return f"{name} in {platform.routing_queue}"
    return name


def verify(update: PendingEvent, platform: PlatformState | None, age: float) -> Verdict:
    """Decide what an answer means for an update that was *age* seconds old when the platform was queried."""
    expected = AGREES.get(update.routing_status or "")
    if expected is None or describe_state(update, platform) in expected:
        return Verdict.CONFIRMED
    if age < SURE_AFTER_SECONDS:
        return Verdict.ASK_AGAIN
    return Verdict.CONTRADICTED if age <= SURE_UNTIL_SECONDS else Verdict.TOO_LATE


def seconds_until_next_ask(age: float, delay: float = 0.0) -> float:
    """Return the seconds until the next query about an update of this age, at least *delay*."""
    ages = (SECOND_ASK_SECONDS, SURE_AFTER_SECONDS, 2 * age)
    return max(delay, next(next_age for next_age in ages if next_age > age) - age)


def _parse_queue(queue: str | None) -> UUID | None:
    """Return a routing queue's id; None for a name, which is not compared with an id."""
    try:
        return UUID(queue)
    except (TypeError, ValueError):
        return None
