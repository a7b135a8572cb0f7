"""Compare a routing update with the platform's state of its conversation, without side effects."""

from collections.abc import Mapping
from enum import Enum, auto
from typing import Final
from uuid import UUID

from workers.genesys import PlatformState
from workers.parsing import ALERTING, ENDED, QUEUED, ROUTED
from workers.settle.plan import PendingEvent

AGREES: Final[Mapping[str, frozenset[str]]] = {
    QUEUED: frozenset({QUEUED}),
    # The contact is routed when an agent is alerted; routing does not depend on whether the agent answers.
    ROUTED: frozenset({ROUTED, ALERTING}),
    # The alerted agent might have answered by the time the platform is queried.
    ALERTING: frozenset({ALERTING, ROUTED}),
    ENDED: frozenset({ENDED}),
}
"""The platform's states that confirm each routing status. Other statuses cannot be verified."""

SURE_AFTER_SECONDS: Final = 5.0
"""While an update is younger than this, a contradiction is ignored: the API can lag behind notifications."""

SURE_UNTIL_SECONDS: Final = 15.0
"""If an update is older than this, the answer might show a newer state even if the update was correct."""

SECOND_ASK_SECONDS: Final = 2.0
"""The age of an update at which the platform is queried a second time; most windows close at this age."""


class Verdict(Enum):
    """What the platform's answer means for a routing update."""

    CONFIRMED = auto()
    """The platform agrees, or the update's routing status cannot be verified."""
    CONTRADICTED = auto()
    ASK_AGAIN = auto()
    """The platform contradicts the update, but the update is so young that the API might lag behind."""
    TOO_LATE = auto()
    """The platform contradicts the update, but the update is old: the answer might show a newer state."""


def describe_state(update: PendingEvent, platform: PlatformState | None) -> str:
    """Return the platform's state as a code, with its routing queue if that differs; UNKNOWN for None."""
    if platform is None:
        return "UNKNOWN"
    name = platform.status or "NONE"
    if name == update.routing_status == QUEUED:
        ours, theirs = _parse_queue(update.routing_queue), _parse_queue(platform.routing_queue)
        if ours and theirs and ours != theirs:
            return f"{name} in {platform.routing_queue}"
    return name


def verify(update: PendingEvent, platform: PlatformState | None, age: float) -> Verdict:
    """Return what an answer means for an update that was *age* seconds old when the platform was queried."""
    expected = AGREES.get(update.routing_status or "")
    if expected is None or describe_state(update, platform) in expected:
        return Verdict.CONFIRMED
    if age < SURE_AFTER_SECONDS:
        return Verdict.ASK_AGAIN
    return Verdict.CONTRADICTED if age <= SURE_UNTIL_SECONDS else Verdict.TOO_LATE


def seconds_until_next_ask(age: float, delay: float = 0.0) -> float:
    """Return the seconds to wait before the next query about an update of this *age*; at least *delay*."""
    ages = (SECOND_ASK_SECONDS, SURE_AFTER_SECONDS, 2 * age)
    return max(delay, next(next_age for next_age in ages if next_age > age) - age)


def _parse_queue(queue: str | None) -> UUID | None:
    """Return the id of a routing queue; None for a queue's name, because it cannot be compared with an id."""
    try:
        return UUID(queue)
    except (TypeError, ValueError):
        return None
