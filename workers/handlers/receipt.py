"""Record what became of a message."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Final

from workers.tables.models import message_receipts
from workers.tables.rowset import insert_into

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from workers.handlers import Skips
    from workers.parsing.events import ClaimedEvent

_COLUMNS: Final = {
    "event_id": "event_id",
    "conversation_id": "arrival.event.conversation_id",
    "platform_message_id": "arrival.event.platform_message_id",
    "status": "arrival.event.receipt_status",
    "is_final": "arrival.event.is_final_receipt",
    "reasons": "arrival.event.receipt_reasons",
    "occurred_at": "arrival.event.occurred_at_us",
}
"""What a receipt says of each column."""

_values_of: Final = attrgetter(*_COLUMNS.values())
_RECORD: Final = insert_into(message_receipts, _COLUMNS)


def receipt(connection: Connection, events: Sequence[ClaimedEvent], now_us: int) -> Skips:  # noqa: ARG001  # the shape of every handler
    """Record the receipts, each for itself: a message's later receipt replaces no earlier one."""
    _RECORD.execute(connection, list(map(_values_of, events)))
    return {}
