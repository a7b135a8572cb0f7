"""Name the tables of the comparison with the platform's history."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Boolean, Index, Integer, Table, Text, text, true

from workers.db.models.columns import Identifier, RowId, UtcDateTime, column, metadata, primary_key


def _where(condition: str) -> dict[str, Any]:
    return {"postgresql_where": text(condition), "sqlite_where": text(condition)}


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
    column("conversations", Integer, "Conversations that were read", server_default="0"),
    column("compared", Integer, "Messages and receipts that were compared", server_default="0"),
    column("missing", Integer, "Of these, how many nobody had brought: new gaps", server_default="0"),
    column("published", Integer, "Gaps that were published to the events' queue", server_default="0"),
    column("waiting", Integer, "Gaps of earlier ones that are not processed yet", server_default="0"),
    column(
        "unreadable",
        Integer,
        "Events of the history that cannot be compared, or not be recorded",
        server_default="0",
    ),
    column("unread", Integer, "Conversations that only their counts were compared of", server_default="0"),
    column("ours", Integer, "Events of webhooks that were looked for in the history", server_default="0"),
    column("unmatched", Integer, "Of these, how many the history does not have", server_default="0"),
    column("mismatch", Text, "Why nothing more was published; null: ours match", nullable=True),
    column("decided_by", Text, "Operator who decided about the mismatch; null: none yet", nullable=True),
    column("started_at", UtcDateTime, "When, the database's clock"),
    column(
        "finished_at", UtcDateTime, "When, the database's clock; null: under way, or killed", nullable=True
    ),
    column("held_by", Text, "The process that does it"),
    column("held_until", UtcDateTime, "When another process takes it over, the database's clock"),
    column(
        "unlisted",
        Text,
        "Why the platform listed no conversations; those never heard of are not compared; null: it did",
        nullable=True,
    ),
    column(
        "passed_over",
        Integer,
        "Conversations that were not compared: refused, unanswered, or failed",
        server_default="0",
    ),
    Index(
        "ix_reconciliations_under_way",
        "started_by",
        unique=True,
        **_where("finished_at IS NULL AND started_by = 'timer'"),
    ),
    Index("ix_reconciliations_undecided", "id", **_where("mismatch IS NOT NULL AND decided_by IS NULL")),
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
    column(
        "state",
        Text,
        "open; over: ended, and only its counts were compared; ended: compared to its end; unknown: the"
        " platform has no such conversation",
    ),
    column("listed_at", UtcDateTime, "When it last had news of ours, or was first listed"),
    column("counted_at", UtcDateTime, "When its messages were counted last, our clock", nullable=True),
    column("differs", Boolean, "Whether the counts did not agree then", server_default=true()),
    column("messages", Integer, "Messages that it had when it was read last", nullable=True),
    column("read_at", UtcDateTime, "When it was read last, our clock", nullable=True),
    column(
        "compared_through",
        Identifier,
        "The last message compared of one that is read in pieces",
        nullable=True,
    ),
    column("fingerprint", Text, "Of what was read; the same again needs no comparison", nullable=True),
    comment="How far each conversation is compared with the platform's history",
)
Index(
    "ix_platform_conversations_unread",
    platform_conversations.c.differs,
    platform_conversations.c.read_at,
    **_where("state IN ('open', 'over')"),
)
