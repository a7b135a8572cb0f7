"""Note which orders customers write about."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from workers.handlers import Skips
    from workers.parsing import ClaimedEvent

ORDER = re.compile(r"\border (\d{6})\b", re.IGNORECASE)
NOTE = text("INSERT INTO order_mentions VALUES (:event_id, :conversation_id, :order_number, :said_at)")


def note_orders(connection: Connection, events: Sequence[ClaimedEvent], now_us: int) -> Skips:  # noqa: ARG001
    """Keep each order number that the messages of a batch name."""
    rows = [
        {
            "event_id": each.event_id,
            "conversation_id": each.event.conversation_id,
            "order_number": number,
            "said_at": datetime.fromtimestamp(each.event.occurred_at_us / 1_000_000, UTC).isoformat(),
        }
        for each in events
        for number in sorted(set(ORDER.findall(words_of(each))))
    ]
    if rows:
        connection.execute(NOTE, rows)
    return {}


def words_of(claimed: ClaimedEvent) -> str:
    """Return what a message says, as the platform sent it."""
    message = claimed.event.payload.get("message")
    words = message.get("text") if isinstance(message, dict) else claimed.event.payload.get("text")
    return words if isinstance(words, str) else ""
