"""Name the tables of the comparison with the platform's history."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Index, Integer, Table, Text, text

from workers.tables.models.columns import Identifier, RowId, UtcDateTime, column, metadata, primary_key

_UNDER_WAY: Any = {
    name: text("finished_at IS NULL AND started_by = 'timer'")
    for name in ("postgresql_where", "sqlite_where")
}

reconciliations = Table(
    "reconciliations",
    metadata,
    primary_key("id", RowId, "Rises with time, with gaps"),
    column("started_by", Text, "timer, or the person at the command line"),
    column("compared_from", UtcDateTime, "What happened from then on is compared, platform's clock"),
    column("compared_to", UtcDateTime, "What happened before is compared; the next one goes on from here"),
    column(
        "page",
        Integer,
        "Next page of the platform's list of conversations; null: all are listed",
        nullable=True,
    ),
    column("read_through", Identifier, "The last conversation that was read; they are read in order"),
    column("conversations", Integer, "Conversations that were read", server_default="0"),
    column("compared", Integer, "Messages and receipts that were compared", server_default="0"),
    column("missing", Integer, "Of these, how many nobody had brought: new gaps", server_default="0"),
    column("published", Integer, "Gaps that were published to the events' queue", server_default="0"),
    column("waiting", Integer, "Gaps of earlier ones that are not processed yet", server_default="0"),
    column("unreadable", Integer, "What the platform's history has in no form known", server_default="0"),
    column("started_at", UtcDateTime, "When, our clock"),
    column("finished_at", UtcDateTime, "When, our clock; null: under way, or killed", nullable=True),
    column("held_by", Text, "The process that does it"),
    column("held_until", UtcDateTime, "When another process takes it over, our clock"),
    column(
        "unlisted",
        Text,
        "Why the platform listed no conversations; those never heard of are not compared; null: it did",
        nullable=True,
    ),
    column(
        "passed_over",
        Integer,
        "Conversations that were not compared: the platform refused them, or never had an answer",
        server_default="0",
    ),
    Index("ix_reconciliations_under_way", "started_by", unique=True, **_UNDER_WAY),
    comment="Comparisons with the platform's history: how far, how much, what was missing",
)

reconciliation_gaps = Table(
    "reconciliation_gaps",
    metadata,
    primary_key("idempotency_key", Identifier, "Of the event, as processed_events has it once it is there"),
    column("reconciliation_id", RowId, "reconciliations.id of the one that found it"),
    column("conversation_id", Identifier, "The platform's conversation"),
    column("event_type", Text, "What was missing"),
    column("platform_message_id", Identifier, "The message it is, or is about"),
    column("occurred_at", UtcDateTime, "The platform's clock"),
    column("found_at", UtcDateTime, "When, our clock"),
    column("published_at", UtcDateTime, "When the broker had confirmed the copy, our clock"),
    column("message_id", Identifier, "Of the copy, as in processed_events and dead_letters"),
    comment="What the platform had and we had not; reconciliation_gaps_v1 says what became of it",
)

platform_conversations = Table(
    "platform_conversations",
    metadata,
    primary_key("conversation_id", Identifier, "The platform's conversation"),
    column("state", Text, "open; ended: compared to its end; unknown: the platform has no such one"),
    column("listed_at", UtcDateTime, "When it was first seen, our clock"),
    column("read_at", UtcDateTime, "When it was read last, our clock", nullable=True),
    column("fingerprint", Text, "Of what was read; the same again needs no comparison", nullable=True),
    comment="How far each conversation is compared with the platform's history",
)
