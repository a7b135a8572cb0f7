"""Name the tables of destinations, of what each is told, and of how that went."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Index, Integer, Table, Text, text

from workers.db.models.columns import Identifier, RowId, UtcDateTime, column, metadata, primary_key

destinations = Table(
    "destinations",
    metadata,
    primary_key("name", Identifier, "As in OM_DESTINATIONS"),
    column("registered_at", UtcDateTime, "From when on it is told of events, our clock"),
    column("paused_at", UtcDateTime, "Since when it gets nothing; null: it does", nullable=True),
    column("paused_because", Text, "operator, or gone: it answered 410", nullable=True),
    comment="The services behind: every one that a deliver process has found configured",
)

subscriptions = Table(
    "subscriptions",
    metadata,
    primary_key("event_type", Text, "An event type of the outbox"),
    primary_key("destination", Identifier, "Who is told of it: destinations.name"),
    comment="The destinations for which the trigger outbox_plans_deliveries plans deliveries",
)

_UNFINISHED: Any = {name: text("outcome IS NULL") for name in ("postgresql_where", "sqlite_where")}
_UNTOLD: Any = {
    name: text("outcome = 'dead' AND dead_lettered_at IS NULL")
    for name in ("postgresql_where", "sqlite_where")
}

deliveries = Table(
    "deliveries",
    metadata,
    primary_key("outbox_id", RowId, "outbox.id", autoincrement=False),
    primary_key("destination", Identifier, "destinations.name"),
    column("conversation_id", Identifier, "The platform's conversation"),
    column(
        "due_at",
        UtcDateTime,
        "Not before; while a process tries, the end of its lease; 9999: waits behind another",
    ),
    column("attempts", Integer, "Attempts that failed, except those at a destination known to be down"),
    column("first_attempt_at", UtcDateTime, "When the first of them failed, our clock", nullable=True),
    column("refused_at", UtcDateTime, "Since when it gets 401, 403, 404, 405 or 407", nullable=True),
    column("status", Integer, "HTTP status of the last answer", nullable=True),
    column("reason", Text, "Why the last attempt failed, in a word", nullable=True),
    column(
        "outcome",
        Text,
        "delivered, dead: given up, or abandoned by an operator or for its age; null: waits",
        nullable=True,
    ),
    column("finished_at", UtcDateTime, "When it was delivered or given up, our clock", nullable=True),
    column("dead_lettered_at", UtcDateTime, "When the dead letter was published", nullable=True),
    Index("ix_deliveries_due", "destination", "due_at", **_UNFINISHED),
    Index("ix_deliveries_order", "destination", "conversation_id", "outbox_id", **_UNFINISHED),
    Index("ix_deliveries_untold", "outbox_id", **_UNTOLD),
    comment="One row for each outbox row and destination; the trigger outbox_plans_deliveries inserts it",
)

failed_receipts = Table(
    "failed_receipts",
    metadata,
    primary_key("event_id", RowId, "processed_events.id of the message", autoincrement=False),
    column("destination", Identifier, "The first that gave it up"),
    column("status", Integer, "HTTP status of its last answer", nullable=True),
    column("reason", Text, "Why its last attempt failed, in a word", nullable=True),
    column("due_at", UtcDateTime, "Not before"),
    column("attempts", Integer, "How often it was begun"),
    column("begun_at", UtcDateTime, "When the request under way began, our clock", nullable=True),
    column("outcome", Text, "sent, refused, unknown or gone; null: waits", nullable=True),
    column("problem", Text, "What the platform said last, in a word", nullable=True),
    column("finished_at", UtcDateTime, "When, our clock", nullable=True),
    Index("ix_failed_receipts_due", "due_at", **_UNFINISHED),
    comment="Messages that were given up, of which the agent is told; each once",
)
