"""Record which orders customers write about."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from workers.handlers import ClaimedEvent, Skips

ORDER = re.compile(r"\border (\d{6})\b", re.IGNORECASE)
NOTE = text("INSERT INTO order_mentions VALUES (:event_id, :conversation_id, :order_number, :said_at)")


def note_orders(connection: Connection, events: Sequence[ClaimedEvent], now_us: int) -> Skips:  # noqa: ARG001
    """Record each order number in the messages of a batch."""
    rows = [
        {
            "event_id": claimed.event_id,
            "conversation_id": claimed.event.conversation_id,
            "order_number": number,
            "said_at": datetime.fromtimestamp(claimed.event.occurred_at_us / 1_000_000, UTC).isoformat(),
        }
        for claimed in events
        for number in sorted(set(ORDER.findall(read_text(claimed))))
    ]
    if rows:
        connection.execute(NOTE, rows)
    return {}


def read_text(claimed: ClaimedEvent) -> str:
    """Return a message's text, or an empty string."""
    message = claimed.event.payload.get("message")
    content = message.get("text") if isinstance(message, dict) else claimed.event.payload.get("text")
    return content if isinstance(content, str) else ""
