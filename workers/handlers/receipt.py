"""Record what became of a message."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Final

from workers.parsing import RECEIPT
from workers.tables import insert_into, message_receipts, put_in_outbox

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from workers.handlers.handler import Skips
    from workers.parsing import ClaimedEvent

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


def receipt(connection: Connection, events: Sequence[ClaimedEvent], now_us: int) -> Skips:
    """Record the receipts, each for itself, and tell of them at once: they wait for no window."""
    _RECORD.execute(connection, list(map(_values_of, events)))
    put_in_outbox(connection, [_told(each, now_us) for each in events])
    return {}


def _told(claimed: ClaimedEvent, now_us: int) -> tuple[object, ...]:
    event = claimed.event
    return (event.conversation_id, claimed.event_id, RECEIPT, event.occurred_at_us, False, None, now_us)
