"""Put a message into its conversation's window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from workers.tables.rowset import INTEGER, MOMENT, TEXT, RowStatement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from workers.handlers import Skips
    from workers.parsing.events import ClaimedEvent

_BUFFER: Final = RowStatement(
    """
    INSERT INTO conversation_messages (
        event_id, conversation_id, occurred_at, sequence, received_at, platform_message_id, sender, text,
        content)
    SELECT {event_id}, {conversation_id}, {occurred_at}, {sequence}, {received_at}, {platform_message_id},
        {sender}, {text}, {content}
    FROM {rows} WHERE true
    """,
    {
        "event_id": INTEGER,
        "conversation_id": TEXT,
        "occurred_at": MOMENT,
        "sequence": INTEGER,
        "received_at": MOMENT,
        "platform_message_id": TEXT,
        "sender": TEXT,
        "text": TEXT,
        "content": TEXT,
    },
)


def conversation_message(connection: Connection, events: Sequence[ClaimedEvent], now_us: int) -> Skips:  # noqa: ARG001  # the shape of every handler
    """Buffer the messages; whoever reads them sorts by occurred_at, sequence, received_at, event_id."""
    _BUFFER.execute(connection, [_row_of(each) for each in events])
    return {}


def _row_of(claimed: ClaimedEvent) -> tuple[object, ...]:
    event = claimed.event
    return (
        claimed.event_id,
        event.conversation_id,
        event.occurred_at_us,
        event.sequence,
        claimed.arrival.received_at_us,
        event.platform_message_id,
        event.sender,
        event.text,
        event.content,
    )
