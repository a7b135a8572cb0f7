"""Record what became of a message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from workers.tables.rowset import BOOLEAN, INTEGER, MOMENT, TEXT, RowStatement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from workers.handlers import Skips
    from workers.parsing.events import ClaimedEvent

_RECORD: Final = RowStatement(
    """
    INSERT INTO message_receipts (
        event_id, conversation_id, platform_message_id, status, is_final, occurred_at)
    SELECT {event_id}, {conversation_id}, {platform_message_id}, {status}, {is_final}, {occurred_at}
    FROM {rows} WHERE true
    """,
    {
        "event_id": INTEGER,
        "conversation_id": TEXT,
        "platform_message_id": TEXT,
        "status": TEXT,
        "is_final": BOOLEAN,
        "occurred_at": MOMENT,
    },
)


def receipt(connection: Connection, events: Sequence[ClaimedEvent], now_us: int) -> Skips:  # noqa: ARG001  # the shape of every handler
    """Record the receipts, each for itself: a message's later receipt replaces no earlier one."""
    _RECORD.execute(connection, [_row_of(each) for each in events])
    return {}


def _row_of(claimed: ClaimedEvent) -> tuple[object, ...]:
    event = claimed.event
    return (
        claimed.event_id,
        event.conversation_id,
        event.platform_message_id,
        event.receipt_status,
        event.is_final_receipt,
        event.occurred_at_us,
    )
