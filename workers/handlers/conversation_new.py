"""Start the session of a conversation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from workers.tables.models import conversations
from workers.tables.rowset import RowStatement, kinds_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from workers.handlers import Skips
    from workers.parsing.events import ClaimedEvent

# Should the platform start one conversation twice, the earlier start stands.
_START: Final = RowStatement(
    """
    UPDATE conversations SET status = 'started',
        started_at = CASE WHEN started_at < {started_at} THEN started_at ELSE {started_at} END
    FROM {rows} WHERE conversations.conversation_id = {conversation_id}
    """,
    kinds_of(conversations, "conversation_id", "started_at"),
)


def conversation_new(connection: Connection, events: Sequence[ClaimedEvent], now_us: int) -> Skips:  # noqa: ARG001  # the shape of every handler
    """Mark the conversations as started by the platform's clock."""
    started: dict[str, int] = {}
    for each in events:
        event = each.event
        started.setdefault(event.conversation_id, event.occurred_at_us)
    _START.execute(connection, list(started.items()))
    return {}
