"""Start the session of a conversation, without holding it back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from workers.db.engine import BulkStatement, column_kinds
from workers.db.models import conversations, outbox
from workers.parsing import CONVERSATION_NEW

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from workers.handlers.handler import Skips
    from workers.parsing import ClaimedEvent

# Told before the row below is changed: a session that was opened already, by an earlier start or because
# content came without one, makes this one late.
_TELL: Final = BulkStatement(
    f"""
    INSERT INTO outbox (conversation_id, event_id, event_type, occurred_at, late, created_at)
    SELECT {{conversation_id}}, {{event_id}}, '{CONVERSATION_NEW}', {{occurred_at}},
        {{late}} OR conversations.session_opened_at IS NOT NULL, {{created_at}}
    FROM {{rows}} JOIN conversations ON conversations.conversation_id = {{conversation_id}}
    """,  # noqa: S608  # a constant of ours
    column_kinds(outbox, "conversation_id", "event_id", "occurred_at", "late", "created_at"),
)

# Should the platform start one conversation twice, the earlier start stands.
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
    """Mark the conversations as started by the platform's clock, and tell of their sessions."""
    started: dict[str, int] = {}
    rows = []
    for each in events:
        event = each.event
        is_second = event.conversation_id in started
        started.setdefault(event.conversation_id, event.occurred_at_us)
        rows.append((event.conversation_id, each.event_id, event.occurred_at_us, is_second, now_us))
    _TELL.execute(connection, rows)
    _START.execute(connection, [(key, at_us, now_us) for key, at_us in started.items()])
    return {}
