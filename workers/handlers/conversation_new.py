"""Start a conversation's session at once, without waiting for a window."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection

from workers.db.engine import BulkStatement, column_kinds
from workers.db.models import conversations, outbox
from workers.handlers.handler import Skips
from workers.parsing import CONVERSATION_NEW, ClaimedEvent

# This runs before _START, which opens the session. If the session is already open, because of another start
# or because content arrived without a start, this start is late.
_ANNOUNCE: Final = BulkStatement(
    f"""
    INSERT INTO outbox (conversation_id, event_id, event_type, occurred_at, late, created_at)
    SELECT {{conversation_id}}, {{event_id}}, '{CONVERSATION_NEW}', {{occurred_at}},
        {{late}} OR conversations.session_opened_at IS NOT NULL, {{created_at}}
    FROM {{rows}} JOIN conversations ON conversations.conversation_id = {{conversation_id}}
    """,  # noqa: S608  # our own constant
    column_kinds(outbox, "conversation_id", "event_id", "occurred_at", "late", "created_at"),
)

# If the platform reports two starts of a conversation, the earlier time is kept.
_START: Final = BulkStatement(
    """
    UPDATE conversations SET status = 'started',
        started_at = CASE WHEN started_at < {started_at} THEN started_at ELSE {started_at} END,
        session_opened_at = COALESCE(session_opened_at, {session_opened_at})
    FROM {rows} WHERE conversations.conversation_id = {conversation_id}
    """,
    column_kinds(conversations, "conversation_id", "started_at", "session_opened_at"),
)


def conversation_new(connection: Connection, events: Sequence[ClaimedEvent], now_us: int) -> Skips:
    """Mark the conversations as started, and put the start of each session into the outbox."""
    started: dict[str, int] = {}
    rows = []
    for claimed in events:
        event = claimed.event
        is_second = event.conversation_id in started
        started.setdefault(event.conversation_id, event.occurred_at_us)
        rows.append((event.conversation_id, claimed.event_id, event.occurred_at_us, is_second, now_us))
    _ANNOUNCE.execute(connection, rows)
    _START.execute(connection, [(key, at_us, now_us) for key, at_us in started.items()])
    return {}
