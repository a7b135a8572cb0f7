"""Lock a batch's conversations and add the events to them, in one statement; write to the outbox.

Every transaction does this once, in the order of conversation_id, after it has claimed the events and before
it calls the handlers. The conversations' rows are then already locked when handlers run, so two transactions
never wait for each other in a cycle, whatever their handlers update.

A window is timed by the database's clock, not by the platform's clock. After an outage, a conversation's
backlog arrives in one burst, so it is settled together.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Final

from sqlalchemy import Connection

from workers.db.engine import insert_into
from workers.db.models import conversations, outbox
from workers.parsing import CONVERSATION_MESSAGE, CONVERSATION_UPDATED, ROUTING_STATUSES, ClaimedEvent, Event

MAX_OUTBOX_ROWS: Final = 10_000
"""Maximum number of entries in one statement. A conversation's whole backlog could exceed the time limit."""

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
    """How long the window of a conversation stays open, in microseconds."""

    quiet_us: int = 2_000_000
    """Time from the newest event to the window's end: the guide's "sliding window of two seconds"."""
    limit_us: int = 10_000_000
    """Longest time from the first event to the window's end, even if a conversation never pauses."""


def _make_row(
    conversation_id: str, events: Sequence[Event], window: Sequence[int], now_us: int
) -> tuple[object, ...]:
    """Return the row of column values that a batch's events add to their conversation."""
    times = [event.occurred_at_us for event in events]
    channels = [event.social_channel for event in events if event.social_channel]
    types = [event.event_type for event in events]
    # Only events that have to be settled open or extend a window; other events count as settled at once.
    to_settle = [event.occurred_at_us for event in events if _has_to_be_settled(event)]
    return (
        conversation_id,
        channels[0] if channels else events[-1].social_channel,
        len(events),
        types.count(CONVERSATION_MESSAGE),
        min(times),
        max(times),
        *(window if to_settle else (None, None, None)),
        min(to_settle, default=None),
        0 if to_settle else len(events),
        now_us,
    )


def _has_to_be_settled(event: Event) -> bool:
    is_update = event.event_type == CONVERSATION_UPDATED
    return event.event_type == CONVERSATION_MESSAGE or (
        is_update and event.routing_status in ROUTING_STATUSES
    )


def enter_conversations(
    connection: Connection, claimed: Sequence[ClaimedEvent], bounds: WindowBounds, now_us: int
) -> list[ClaimedEvent]:
    """Add new events to their conversations, which stay locked; return the events with their positions."""
    entering = defaultdict[str, list[Event]](list)
    for event in (new.event for new in claimed):
        entering[event.conversation_id].append(event)
    window = (now_us, now_us + bounds.quiet_us, now_us + bounds.limit_us)
    rows = [_make_row(key, entering[key], window, now_us) for key in sorted(entering)]
    # Number a conversation's new events after the events that it already has.
    positions = {
        key: count(total - len(entering[key]) + 1) for key, total in _ENTER.execute(connection, rows)
    }
    return [
        ClaimedEvent(new.event_id, new.arrival, next(positions[new.event.conversation_id])) for new in claimed
    ]


def put_in_outbox(connection: Connection, rows: Sequence[tuple[object, ...]]) -> None:
    """Write outbox entries in the given order; a row has the values of all columns except the id.

    In the same transaction, the trigger `outbox_plans_deliveries` (in workers/db/migrations/versions) inserts
    into `deliveries` one row for each entry and each destination that is subscribed to the entry's type. The
    caller has locked the conversations, so ids within a conversation increase in the order of commits.
    """
    for start in range(0, len(rows), MAX_OUTBOX_ROWS):
        _PUT.execute(connection, rows[start : start + MAX_OUTBOX_ROWS])
