"""Name the tables of what leaves for other services."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Index, Table, Text

from workers.db.models.columns import Identifier, RowId, UtcDateTime, column, metadata, primary_key

outbox = Table(
    "outbox",
    metadata,
    primary_key("id", RowId, "Rises with the order within each conversation, with gaps"),
    column("conversation_id", Identifier, "The platform's conversation"),
    column("event_id", RowId, "processed_events.id; null: a session that nobody notified", nullable=True),
    column("event_type", Text, "What the services are told"),
    column("occurred_at", UtcDateTime, "The platform's clock"),
    column("late", Boolean, "Whether something newer of its conversation went before"),
    column("verified", Boolean, "Whether the platform agreed; null: it was not asked", nullable=True),
    column("created_at", UtcDateTime, "When it was settled, our clock"),
    Index(None, "conversation_id", "id"),
    comment="What the services behind are told, in order within each conversation",
)

request_budgets = Table(
    "request_budgets",
    metadata,
    primary_key("name", Identifier, "Whose limit: the OAuth client's id"),
    column(
        "paid_at_us", BigInteger, "When all requests so far will be paid for, microseconds since the epoch"
    ),
    column(
        "background_paid_at_us",
        BigInteger,
        "When reconcile's own tenth of the limit has its next request, likewise",
    ),
    comment="How much of the platform's request limit is used, one row for all hosts",
)
