"""Add a batch's events to their conversations in one statement, which locks them; fill their outbox.

Every transaction enters its conversations once, after its claims and before its handlers, in the order of
conversation_id. Handlers therefore find their rows already locked, and two transactions never wait for each
other in a cycle, whatever their handlers update afterwards.

A window is timed by the database's clock, not by the platform's: after an outage a conversation's backlog
arrives in one burst and is settled together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from workers.db.engine import insert_into
from workers.db.models import conversations, outbox
from workers.parsing import CONVERSATION_MESSAGE, CONVERSATION_UPDATED, ROUTING_STATUSES, ClaimedEvent, Event

_ENTER: Final = insert_into(
    conversations,
    (
        *("conversation_id", "social_channel", "event_count", "message_count", "first_event_at"),
        *("last_event_at", "window_opened_at", "window_closes_at", "window_limit_at", "window_from_at"),
        *("settled_count", "updated_at"),
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
        settled_count = CASE WHEN COALESCE(conversations.window_opened_at, excluded.window_opened_at) IS NULL
            THEN conversations.event_count + excluded.event_count ELSE conversations.settled_count END,
        window_from_at = CASE WHEN conversations.window_from_at < excluded.window_from_at
            THEN conversations.window_from_at
            ELSE COALESCE(excluded.window_from_at, conversations.window_from_at) END,
        updated_at = excluded.updated_at
    RETURNING conversation_id, event_count
    """,
    status="'implied'",
    routing_sequence="0",
)

_PUT: Final = insert_into(
    outbox, ("conversation_id", "event_id", "event_type", "occurred_at", "late", "verified", "created_at")
)


@dataclass(frozen=True, slots=True)
class WindowBounds:
    """How long a conversation's window is open, in microseconds."""

    quiet_us: int = 2_000_000
    """Time after the newest event: the guide's "sliding window of two seconds"."""
    limit_us: int = 10_000_000
    """Limit after the first event, so that a conversation without a pause is settled too."""


@dataclass(slots=True)
class _Entry:
    """What a batch adds to one conversation."""

    social_channel: str | None
    first_at_us: int
    last_at_us: int
    window_from_us: int | None = None
    events: int = 0
    messages: int = 0

    def add(self, event: Event) -> None:
        at_us, is_message = event.occurred_at_us, event.event_type == CONVERSATION_MESSAGE
        self.events += 1
        self.messages += is_message
        self.social_channel = self.social_channel or event.social_channel
        self.first_at_us = min(self.first_at_us, at_us)
        self.last_at_us = max(self.last_at_us, at_us)
        is_update = event.event_type == CONVERSATION_UPDATED
        if is_message or (is_update and event.routing_status in ROUTING_STATUSES):
            # Only events that are settled open a window or keep it open.
            self.window_from_us = at_us if self.window_from_us is None else min(self.window_from_us, at_us)


def enter_conversations(
    connection: Connection, claimed: Sequence[ClaimedEvent], bounds: WindowBounds, now_us: int
) -> list[ClaimedEvent]:
    """Add new events to their conversations, which stay locked until the transaction ends.

    Returns the events, each with its position in its conversation.
    """
    entries: dict[str, _Entry] = {}
    for event in (new.event for new in claimed):
        new_entry = _Entry(event.social_channel, event.occurred_at_us, event.occurred_at_us)
        entries.setdefault(event.conversation_id, new_entry).add(event)
    window = (now_us, now_us + bounds.quiet_us, now_us + bounds.limit_us)
    rows = [
        (
            conversation_id,
            entry.social_channel,
            entry.events,
            entry.messages,
            entry.first_at_us,
            entry.last_at_us,
            *(window if entry.window_from_us is not None else (None, None, None)),
            entry.window_from_us,
            entry.events if entry.window_from_us is None else 0,  # settled at once without an open window
            now_us,
        )
        for conversation_id, entry in sorted(entries.items())
    ]
    # Events are numbered after those of their conversation that were committed before.
    positions = {key: count - entries[key].events for key, count in _ENTER.execute(connection, rows)}
    numbered = []
    for new in claimed:
        key = new.event.conversation_id
        positions[key] += 1
        numbered.append(ClaimedEvent(new.event_id, new.arrival, positions[key]))
    return numbered


def put_in_outbox(connection: Connection, rows: Sequence[tuple[object, ...]]) -> None:
    """Write entries in their order, with the values of all columns but the id, and plan their deliveries.

    The trigger `outbox_plans_deliveries` (in workers/db/migrations/versions) inserts into `deliveries`, in
    the same transaction, one row for each entry and destination that `subscriptions` has for its event type.
    The caller has locked the conversations, so that the ids within a conversation rise in the order of the
    commits.
    """
    if rows:
        _PUT.execute(connection, rows)
