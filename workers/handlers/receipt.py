"""Record message receipts, and put them into the outbox at once, without waiting for a window."""

from collections.abc import Sequence
from operator import attrgetter
from typing import Final

from sqlalchemy import Connection

from workers.db.engine import BulkStatement, column_kinds, insert_into
from workers.db.ingest import put_in_outbox
from workers.db.models import conversations, message_receipts
from workers.handlers.handler import Skips
from workers.parsing import CONVERSATION_NEW, RECEIPT, ClaimedEvent

_COLUMNS: Final = {
    "event_id": "event_id",
    "conversation_id": "arrival.event.conversation_id",
    "platform_message_id": "arrival.event.platform_message_id",
    "status": "arrival.event.receipt_status",
    "is_final": "arrival.event.is_final_receipt",
    "reasons": "arrival.event.receipt_reasons",
    "occurred_at": "arrival.event.occurred_at_us",
}
"""Maps each column of `message_receipts` to the attribute of a ClaimedEvent that fills it."""

_get_values: Final = attrgetter(*_COLUMNS.values())
_RECORD: Final = insert_into(message_receipts, _COLUMNS)

# The native dialect has no start event. A conversation's session is opened when its first message is settled,
# or here, if its first receipt arrives earlier.
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
    """Record the receipts, open the sessions that are not open yet, and put both into the outbox."""
    _RECORD.execute(connection, list(map(_get_values, events)))
    entries = [
        (new.event.conversation_id, new.event_id, RECEIPT, new.event.occurred_at_us, False, None, now_us)
        for new in events
    ]
    put_in_outbox(connection, [*_open_sessions(connection, events, now_us), *entries])
    return {}


def _open_sessions(
    connection: Connection, events: Sequence[ClaimedEvent], now_us: int
) -> list[tuple[object, ...]]:
    """Open the sessions that are not open yet, and return an outbox entry for each opened session."""
    first: dict[str, int] = {}
    for event in (claimed.event for claimed in events):
        # If the body has no conversationId, the event's conversation_id is a substitute without a session.
        if event.conversation_id == event.payload.get("conversationId"):
            first.setdefault(event.conversation_id, event.occurred_at_us)
    opened = _OPEN.execute(connection, [(key, now_us) for key in first]) if first else []
    keys = sorted(key for (key,) in opened)
    return [(key, None, CONVERSATION_NEW, first[key], False, None, now_us) for key in keys]
