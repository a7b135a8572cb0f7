"""Record what became of a message."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Final

from workers.db.engine import BulkStatement, column_kinds, insert_into
from workers.db.ingest import put_in_outbox
from workers.db.models import conversations, message_receipts
from workers.parsing import CONVERSATION_NEW, RECEIPT

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

# The native dialect notifies no start: a conversation's first message starts its session when it is settled,
# and its first receipt, which waits for no window, here.
_OPEN: Final = BulkStatement(
    """
    UPDATE conversations SET session_opened_at = {session_opened_at}
    FROM {rows} WHERE conversations.conversation_id = {conversation_id}
        AND conversations.session_opened_at IS NULL
    RETURNING conversations.conversation_id
    """,
    column_kinds(conversations, "conversation_id", "session_opened_at"),
)


def receipt(connection: Connection, events: Sequence[ClaimedEvent], now_us: int) -> Skips:
    """Record the receipts, each for itself, and tell of them at once: they wait for no window."""
    _RECORD.execute(connection, list(map(_values_of, events)))
    put_in_outbox(
        connection, [*_sessions(connection, events, now_us), *(_told(each, now_us) for each in events)]
    )
    return {}


def _sessions(
    connection: Connection, events: Sequence[ClaimedEvent], now_us: int
) -> list[tuple[object, ...]]:
    """Open the sessions of conversations seen for the first time, and return what is told of them."""
    first_of: dict[str, int] = {}
    for each in events:
        event = each.event
        # What stands in for a conversation that is not named is none that could have a session.
        if event.conversation_id == event.payload.get("conversationId"):
            first_of.setdefault(event.conversation_id, event.occurred_at_us)
    if not first_of:
        return []
    opened = _OPEN.execute(connection, [(key, now_us) for key in first_of])
    return [
        (key, None, CONVERSATION_NEW, first_of[key], False, None, now_us)
        for key in sorted(key for (key,) in opened)
    ]


def _told(claimed: ClaimedEvent, now_us: int) -> tuple[object, ...]:
    event = claimed.event
    return (event.conversation_id, claimed.event_id, RECEIPT, event.occurred_at_us, False, None, now_us)
