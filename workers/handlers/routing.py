"""Guard the conversation's routing state: only explicit transitions count, and only forward in time.

Source:
    The guide, "The Trap: Subscribing to openmessaging:conversation:updated without … state-change guards":
    `routing.status == 'CONTACT-QUEUED' || routing.status == 'CONTACT-ROUTED'`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from workers.parsing.events import QUEUED, ROUTED, ROUTING_STATUSES

TRANSITIONS: Final = frozenset(
    {
        (None, QUEUED),
        (None, ROUTED),  # The queued update was filtered out, lost, or is still on its way.
        (QUEUED, ROUTED),
        (ROUTED, QUEUED),  # A transfer puts the contact back into a routing queue.
    }
)
"""Every change of status that counts, from and to."""

NO_ROUTING_STATUS: Final = "no_routing_status"
UNKNOWN_ROUTING_STATUS: Final = "unknown_routing_status"
LATE_UPDATE: Final = "late_update"
NO_TRANSITION: Final = "no_transition"


@dataclass(frozen=True, slots=True)
class RoutingState:
    """What is known of a conversation's routing.

    Args:
        status: QUEUED, ROUTED, or None before the first transition.
        changed_at_us: When the platform made the last transition, microseconds since the epoch.
        sequence: The sequence number of that update, 0 where it had none.
    """

    status: str | None = None
    changed_at_us: int = 0
    sequence: int = 0


def refusal_of(state: RoutingState, status: str | None, occurred_at_us: int, sequence: int) -> str | None:
    """Return why an update is no transition of *state*, or None if it is one."""
    if status is None:
        return NO_ROUTING_STATUS
    if status not in ROUTING_STATUSES:
        return UNKNOWN_ROUTING_STATUS
    if state.status is not None and (occurred_at_us, sequence) < (state.changed_at_us, state.sequence):
        return LATE_UPDATE
    if (state.status, status) not in TRANSITIONS:
        return NO_TRANSITION
    return None
