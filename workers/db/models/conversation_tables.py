"""Name the tables of the conversations: their state, messages, receipts and routing."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Index, Integer, Table, Text, text

from workers.db.models.columns import Identifier, RowId, UtcDateTime, column, metadata, primary_key

conversations = Table(
    "conversations",
    metadata,
    primary_key("conversation_id", Identifier, "The platform's conversation"),
    column("status", Text, "implied: known from its events only; started: its start was notified"),
    column("social_channel", Text, "The customer's channel or the integration", nullable=True),
    column("started_at", UtcDateTime, "When it started by the platform's clock", nullable=True),
    column("routing_status", Text, "CONTACT-QUEUED or CONTACT-ROUTED, of the newest update", nullable=True),
    column("routing_queue", Text, "The routing queue of that update", nullable=True),
    column("routing_changed_at", UtcDateTime, "When it was made, platform's clock", nullable=True),
    column("routing_sequence", BigInteger, "Sequence number of that update, 0 for none"),
    column("event_count", Integer, "Events claimed; an increment, so a repeated effect would show"),
    column("message_count", Integer, "Messages claimed; an increment as well"),
    column("first_event_at", UtcDateTime, "Oldest event, platform's clock"),
    column("last_event_at", UtcDateTime, "Newest event, platform's clock"),
    column("window_opened_at", UtcDateTime, "First event not yet settled, our clock", nullable=True),
    column("window_closes_at", UtcDateTime, "When the window may be settled, our clock", nullable=True),
    column("window_limit_at", UtcDateTime, "window_closes_at moves no further than this", nullable=True),
    column("window_from_at", UtcDateTime, "Oldest event of the window, platform's clock", nullable=True),
    column("settled_count", Integer, "Of event_count, how many are settled", server_default="0"),
    column("settled_through_at", UtcDateTime, "Newest event settled, platform's clock", nullable=True),
    column("settled_through_sequence", BigInteger, "Its sequence number, 0 for none", server_default="0"),
    column("session_opened_at", UtcDateTime, "When its session went to the outbox, our clock", nullable=True),
    column("unsettled_because", Text, "Why settling failed; null: it did not", nullable=True),
    column("updated_at", UtcDateTime, "Last change of this row, our clock"),
    Index(
        "ix_conversations_unsettled",
        "conversation_id",
        postgresql_where=text("unsettled_because IS NOT NULL"),
        sqlite_where=text("unsettled_because IS NOT NULL"),
    ),
    # A window's events move its end and not its beginning, so that their updates touch no index.
    Index(
        None,
        "window_opened_at",
        postgresql_where=text("window_opened_at IS NOT NULL"),
        sqlite_where=text("window_opened_at IS NOT NULL"),
    ),
    comment="One row per conversation. Locked in the order of conversation_id",
)

conversation_messages = Table(
    "conversation_messages",
    metadata,
    primary_key("event_id", RowId, "processed_events.id", autoincrement=False),
    column("conversation_id", Identifier, "The platform's conversation"),
    column("occurred_at", UtcDateTime, "First sort key: the platform's clock"),
    column("sequence", BigInteger, "Second sort key: the platform's sequence number, 0 for none"),
    column("received_at", UtcDateTime, "Third sort key: arrival"),
    column("position", Integer, "Its number among the conversation's events, by commit", server_default="0"),
    column("platform_message_id", Text, "The platform's message id", nullable=True),
    column("sender", Text, "inbound, outbound, human or bot where known", nullable=True),
    column("text", Text, "What the message says: personal data", nullable=True),
    column("content", Text, "Structured parts as JSON: personal data", nullable=True),
    Index(None, "conversation_id", "occurred_at", "sequence"),
    comment="Messages in the order of occurred_at, sequence, received_at, event_id",
)

message_receipts = Table(
    "message_receipts",
    metadata,
    primary_key("event_id", RowId, "processed_events.id", autoincrement=False),
    column("conversation_id", Identifier, "The platform's conversation"),
    column("platform_message_id", Identifier, "The message it is about", nullable=True),
    column("status", Text, "Sent, Delivered, Read, Failed, Published, Removed or newer", nullable=True),
    column("is_final", Boolean, "Whether no further receipt follows", nullable=True),
    column("reasons", Text, "Why it failed: a JSON list of code and message", nullable=True),
    column("occurred_at", UtcDateTime, "The platform's clock"),
    Index(None, "platform_message_id"),
    comment="What became of messages; one message has several receipts",
)

routing_updates = Table(
    "routing_updates",
    metadata,
    primary_key("event_id", RowId, "processed_events.id", autoincrement=False),
    column("conversation_id", Identifier, "The platform's conversation"),
    column("occurred_at", UtcDateTime, "The platform's clock"),
    column("sequence", BigInteger, "The platform's sequence number, 0 for none"),
    column("received_at", UtcDateTime, "Arrival"),
    column("routing_status", Text, "What was notified: one of OM_ROUTING_TRANSITIONS"),
    column("routing_queue", Text, "The routing queue that was notified", nullable=True),
    column("decision", Text, "applied, late (a newer one stands), superseded or undecided", nullable=True),
    column("platform_status", Text, "The platform's state when it was asked", nullable=True),
    column("verified", Boolean, "Whether the platform agreed; null: it gave no answer", nullable=True),
    column("decided_at", UtcDateTime, "When, the database's clock; null: it waits", nullable=True),
    column("waits_since", UtcDateTime, "When intake took it, the database's clock"),
    column("next_attempt_at", UtcDateTime, "When to ask; null: answered, or decided", nullable=True),
    Index(
        "ix_routing_updates_waiting",
        "waits_since",
        postgresql_where=text("decision IS NULL"),
        sqlite_where=text("decision IS NULL"),
    ),
    Index(None, "conversation_id"),
    comment="Explicit transitions of the routing, and what became of each",
)
