"""Store the updates that contain a routing transition, and skip all other updates.

The settle role applies the transitions in the platform's order, unless they are superseded or undecided.

Source:
    The guide, "The Trap: Subscribing to openmessaging:conversation:updated without … state-change guards":
    `routing.status == 'CONTACT-QUEUED' || routing.status == 'CONTACT-ROUTED'`.
"""

from collections.abc import Sequence
from operator import attrgetter
from typing import Final

from sqlalchemy import Connection

from workers.db.engine import insert_into
from workers.db.models import routing_updates
from workers.handlers.handler import Skips
from workers.parsing import ROUTING_STATUSES, ClaimedEvent

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
"""Maps each column of `routing_updates` to the attribute of a ClaimedEvent that fills it."""

_get_values: Final = attrgetter(*_COLUMNS.values())
_KEEP: Final = insert_into(routing_updates, (*_COLUMNS, "waits_since", "next_attempt_at"))


def conversation_updated(connection: Connection, events: Sequence[ClaimedEvent], now_us: int) -> Skips:
    """Store the updates to one of the guide's two routing states, for settle to apply; skip all others."""
    kept = [claimed for claimed in events if claimed.event.routing_status in ROUTING_STATUSES]
    if kept:
        _KEEP.execute(connection, [(*_get_values(claimed), now_us, now_us) for claimed in kept])
    return {
        claimed.event_id: NO_TRANSITION if claimed.event.routing_status else NO_ROUTING_STATUS
        for claimed in events
        if claimed.event.routing_status not in ROUTING_STATUSES
    }
