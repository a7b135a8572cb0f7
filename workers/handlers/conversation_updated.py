"""Guard the conversation's routing: of all updates, only explicit transitions go any further.

The settle role applies them (workers/settle/plan.py) in the platform's order, if the platform agrees.

Source:
    The guide, "The Trap: Subscribing to openmessaging:conversation:updated without … state-change guards":
    `routing.status == 'CONTACT-QUEUED' || routing.status == 'CONTACT-ROUTED'`.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Final

from workers.db.engine import insert_into
from workers.db.models import routing_updates

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from workers.handlers.handler import Handler, Skips
    from workers.parsing import ClaimedEvent

NO_ROUTING_STATUS: Final = "no_routing_status"
NO_TRANSITION: Final = "no_transition"

_COLUMNS: Final = {
    "event_id": "event_id",
    "conversation_id": "arrival.event.conversation_id",
    "occurred_at": "arrival.event.occurred_at_us",
    "sequence": "arrival.event.sequence",
    "received_at": "arrival.received_at_us",
    "routing_status": "arrival.event.routing_status",
    "routing_queue": "arrival.event.routing_queue",
}
"""What an update says of each column."""

_values_of: Final = attrgetter(*_COLUMNS.values())
_KEEP: Final = insert_into(routing_updates, (*_COLUMNS, "waits_since", "next_attempt_at"))


def conversation_updated(transitions: frozenset[str]) -> Handler:
    """Return the handler that lets only these routing states pass.

    Args:
        transitions: As OM_ROUTING_TRANSITIONS.
    """

    def keep_transitions(connection: Connection, events: Sequence[ClaimedEvent], now_us: int) -> Skips:
        """Keep the explicit transitions for settling, and skip the rest."""
        kept = [each for each in events if each.event.routing_status in transitions]
        if kept:
            _KEEP.execute(connection, [(*_values_of(each), now_us, now_us) for each in kept])
        return {
            each.event_id: NO_TRANSITION if each.event.routing_status else NO_ROUTING_STATUS
            for each in events
            if each.event.routing_status not in transitions
        }

    return keep_transitions
