"""Enter a batch's conversations: create, lock, count and date their rows in one statement.

Every transaction does this once, after its claims and before its handlers, in the order of
conversation_id. So handlers find the rows they need, already locked, and two transactions never wait for
each other in a circle, whatever their handlers touch afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from workers.parsing.events import CONVERSATION_MESSAGE
from workers.tables.models import conversations
from workers.tables.rowset import insert_into
from workers.tables.window import WINDOWED, window_opened

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

    from workers.parsing.events import ClaimedEvent, Event

_ENTER: Final = insert_into(
    conversations,
    (
        "conversation_id",
        "social_channel",
        "event_count",
        "message_count",
        "first_event_at",
        "last_event_at",
        "window_opened_at",
        "window_closes_at",
        "window_limit_at",
        "updated_at",
    ),
    """
    ON CONFLICT (conversation_id) DO UPDATE SET
        social_channel = COALESCE(conversations.social_channel, excluded.social_channel),
        event_count = conversations.event_count + excluded.event_count,
        message_count = conversations.message_count + excluded.message_count,
        first_event_at = CASE WHEN excluded.first_event_at < conversations.first_event_at
            THEN excluded.first_event_at ELSE conversations.first_event_at END,
        last_event_at = CASE WHEN excluded.last_event_at > conversations.last_event_at
            THEN excluded.last_event_at ELSE conversations.last_event_at END,
        window_opened_at = COALESCE(conversations.window_opened_at, excluded.window_opened_at),
        window_closes_at = CASE WHEN excluded.window_closes_at IS NULL THEN conversations.window_closes_at
            WHEN excluded.window_closes_at > conversations.window_limit_at THEN conversations.window_limit_at
            ELSE excluded.window_closes_at END,
        window_limit_at = COALESCE(conversations.window_limit_at, excluded.window_limit_at),
        updated_at = excluded.updated_at
    """,
    status="'implied'",
    routing_sequence="0",
)


@dataclass(slots=True)
class _Entry:
    """What a batch adds to one conversation."""

    social_channel: str | None
    first_at_us: int
    last_at_us: int
    events: int = 0
    messages: int = 0
    windowed: bool = False

    def add(self, event: Event) -> None:
        self.events += 1
        self.messages += event.event_type == CONVERSATION_MESSAGE
        self.windowed |= event.event_type in WINDOWED
        self.social_channel = self.social_channel or event.social_channel
        self.first_at_us = min(self.first_at_us, event.occurred_at_us)
        self.last_at_us = max(self.last_at_us, event.occurred_at_us)


def enter_conversations(connection: Connection, claimed: Iterable[ClaimedEvent], now_us: int) -> None:
    """Make the events part of their conversations and lock those until the transaction ends."""
    entries: dict[str, _Entry] = {}
    for each in claimed:
        event = each.event
        entry = entries.get(event.conversation_id)
        if entry is None:
            entry = _Entry(event.social_channel, event.occurred_at_us, event.occurred_at_us)
            entries[event.conversation_id] = entry
        entry.add(event)
    window = window_opened(now_us)
    opened = (window.opened_at_us, window.closes_at_us, window.limit_at_us)
    rows = [
        (
            conversation_id,
            entry.social_channel,
            entry.events,
            entry.messages,
            entry.first_at_us,
            entry.last_at_us,
            *(opened if entry.windowed else (None, None, None)),
            now_us,
        )
        for conversation_id, entry in sorted(entries.items())
    ]
    _ENTER.execute(connection, rows)
