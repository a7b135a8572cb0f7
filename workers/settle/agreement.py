"""Hold what an update notified against what the platform says of its conversation."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final
from uuid import UUID

from workers.parsing import ALERTING, ENDED, QUEUED, ROUTED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workers.genesys import PlatformState
    from workers.settle.plan import Pending

UNKNOWN_TO_THE_PLATFORM: Final = "UNKNOWN"
"""What is put on record where the platform has no such conversation."""

AGREES: Final[Mapping[str, frozenset[str]]] = {
    QUEUED: frozenset({QUEUED}),
    # The contact is routed when a person is rung: answered or not is no matter of routing.
    ROUTED: frozenset({ROUTED, ALERTING}),
    # Whoever is rung may have answered by the time the platform is asked.
    ALERTING: frozenset({ALERTING, ROUTED}),
    ENDED: frozenset({ENDED}),
}
"""With what the platform may say, by the status that an update notified. Others cannot be looked up."""


def judged(update: Pending, platform: PlatformState | None) -> Pending:
    """Return an update with what the platform says of it.

    Args:
        update: What was notified.
        platform: The platform's own word; None where it has no such conversation.
    """
    assert update.routing_status is not None
    expected = AGREES.get(update.routing_status)
    if expected is None:
        return update
    said = (platform.status or "NONE") if platform else UNKNOWN_TO_THE_PLATFORM
    if platform is not None and said == update.routing_status == QUEUED:
        elsewhere = _other_queue(update.routing_queue, platform.routing_queue)
        if elsewhere:
            return replace(update, platform_status=f"{said} in {elsewhere}", verified=False)
    return replace(update, platform_status=said, verified=said in expected)


def _other_queue(notified: str | None, platforms: str | None) -> str | None:
    """Return the routing queue that the platform names where it is another than was notified, else None."""
    ours, theirs = _queue_id_of(notified), _queue_id_of(platforms)
    return platforms if ours and theirs and ours != theirs else None


def _queue_id_of(queue: str | None) -> UUID | None:
    """Read a routing queue's id. What is none may be a name, which is not to be compared with an id."""
    try:
        return UUID(queue)
    except (TypeError, ValueError):
        return None
