"""Name the tables, for Alembic's comparison and for whoever queries them from Python.

What each column means stands beside it and in the database itself; docs/database.md is for people.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC datetime: timestamptz in PostgreSQL, a text of fixed width in SQLite."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Hand SQLite, which knows no time zones, the UTC wall clock."""
        if value is None or dialect.name != "sqlite":
            return value
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Make what comes back aware, whatever the session's time zone."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


# SQLite makes only a column of the very type INTEGER its row id.
RowId = BigInteger().with_variant(Integer, "sqlite")


class Digest(LargeBinary):
    """A SHA-256, 32 bytes; statements take it in hexadecimal, as logs and envelopes have it."""

    def __init__(self) -> None:
        super().__init__(32)


# Identifiers are compared byte by byte, which is several times faster than by a language's rules.
Identifier = Text().with_variant(Text(collation="C"), "postgresql")

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)


def _column(name: str, kind: Any, comment: str, *, nullable: bool = False, **others: Any) -> Column[Any]:
    return Column(name, kind, comment=comment, nullable=nullable, **others)


def _primary_key(name: str, kind: Any, comment: str, **others: Any) -> Column[Any]:
    return _column(name, kind, comment, primary_key=True, **others)


processed_events = Table(
    "processed_events",
    metadata,
    _primary_key("id", RowId, "Rises with arrival, with gaps"),
    _column("idempotency_key", Identifier, "Equal for every copy of one event: docs/database.md"),
    _column("conversation_id", Identifier, "The platform's conversation"),
    _column(
        "event_type", Text, "openmessaging:conversation:new|message|updated, openmessaging:receipt|typing"
    ),
    _column("outcome", Text, "processed: took effect; skipped: recorded without effect, see reason"),
    _column("reason", Text, "Why it was skipped, one stable word", nullable=True),
    _column("occurred_at", UtcDateTime, "The platform's clock"),
    _column("received_at", UtcDateTime, "When the edge had read the request"),
    _column("processed_at", UtcDateTime, "When the transaction began that processed it"),
    _column("message_id", Identifier, "The accepted request, as in the edge's log"),
    _column("source", Text, "webhook, reconcile or replay"),
    _column("dialect", Text, "guide or genesys"),
    _column("body_sha256", Digest, "SHA-256 of the request's raw body, 32 bytes"),
    _column("deliveries", Integer, "How often it came with this very body, from 1", server_default="1"),
    _column("last_delivered_at", UtcDateTime, "When it came again last; null for once", nullable=True),
    UniqueConstraint("idempotency_key"),
    Index(None, "processed_at", postgresql_using="brin"),
    Index(None, "conversation_id"),
    comment="Each event once, kept OM_RETENTION_DAYS: the unique key decides what is new",
)

event_payloads = Table(
    "event_payloads",
    metadata,
    _primary_key("event_id", RowId, "processed_events.id", autoincrement=False),
    _column("stored_at", UtcDateTime, "When, our clock; kept OM_PAYLOAD_RETENTION_DAYS from then"),
    _column("body", LargeBinary, "The request's raw body, byte for byte: personal data, tokens"),
    comment="What was answered 200, untouched: no right to read it for anybody who only reports",
)

duplicate_events = Table(
    "duplicate_events",
    metadata,
    _primary_key("event_id", RowId, "processed_events.id of the first with this key", autoincrement=False),
    _primary_key("body_sha256", Digest, "SHA-256 of this other body, 32 bytes"),
    _column("idempotency_key", Identifier, "The key that both have"),
    _column("body", LargeBinary, "The other body, byte for byte: personal data, tokens"),
    _column("message_id", Identifier, "The accepted request that brought it first"),
    _column("source", Text, "webhook, reconcile or replay"),
    _column("deliveries", Integer, "How often it came, from 1"),
    _column("first_seen_at", UtcDateTime, "When it came first, our clock"),
    _column("last_seen_at", UtcDateTime, "When it came last, our clock"),
    comment="Conflicts: the key of an event that is known, with another content",
)

conversations = Table(
    "conversations",
    metadata,
    _primary_key("conversation_id", Identifier, "The platform's conversation"),
    _column("status", Text, "implied: known from its events only; started: its start was notified"),
    _column("social_channel", Text, "The customer's channel or the integration", nullable=True),
    _column("started_at", UtcDateTime, "When it started by the platform's clock", nullable=True),
    _column("routing_status", Text, "CONTACT-QUEUED or CONTACT-ROUTED, of the newest update", nullable=True),
    _column("routing_queue", Text, "The routing queue of that update", nullable=True),
    _column("routing_changed_at", UtcDateTime, "When it was made, platform's clock", nullable=True),
    _column("routing_sequence", BigInteger, "Sequence number of that update, 0 for none"),
    _column("event_count", Integer, "Events claimed; an increment, so a repeated effect would show"),
    _column("message_count", Integer, "Messages claimed; an increment as well"),
    _column("first_event_at", UtcDateTime, "Oldest event, platform's clock"),
    _column("last_event_at", UtcDateTime, "Newest event, platform's clock"),
    _column("window_opened_at", UtcDateTime, "First event not yet settled, our clock", nullable=True),
    _column("window_closes_at", UtcDateTime, "When the window may be settled, our clock", nullable=True),
    _column("window_limit_at", UtcDateTime, "window_closes_at moves no further than this", nullable=True),
    _column("window_from_at", UtcDateTime, "Oldest event of the window, platform's clock", nullable=True),
    _column("settled_count", Integer, "Of event_count, how many are settled", server_default="0"),
    _column("settled_through_at", UtcDateTime, "Newest event settled, platform's clock", nullable=True),
    _column("settled_through_sequence", BigInteger, "Its sequence number, 0 for none", server_default="0"),
    _column(
        "session_opened_at", UtcDateTime, "When its session went to the outbox, our clock", nullable=True
    ),
    _column("updated_at", UtcDateTime, "Last change of this row, our clock"),
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
    _primary_key("event_id", RowId, "processed_events.id", autoincrement=False),
    _column("conversation_id", Identifier, "The platform's conversation"),
    _column("occurred_at", UtcDateTime, "First sort key: the platform's clock"),
    _column("sequence", BigInteger, "Second sort key: the platform's sequence number, 0 for none"),
    _column("received_at", UtcDateTime, "Third sort key: arrival"),
    _column("position", Integer, "Its number among the conversation's events, by commit", server_default="0"),
    _column("platform_message_id", Text, "The platform's message id", nullable=True),
    _column("sender", Text, "inbound, outbound, human or bot where known", nullable=True),
    _column("text", Text, "What the message says: personal data", nullable=True),
    _column("content", Text, "Structured parts as JSON: personal data", nullable=True),
    Index(None, "conversation_id", "occurred_at", "sequence"),
    comment="Messages in the order of occurred_at, sequence, received_at, event_id",
)

message_receipts = Table(
    "message_receipts",
    metadata,
    _primary_key("event_id", RowId, "processed_events.id", autoincrement=False),
    _column("conversation_id", Identifier, "The platform's conversation"),
    _column("platform_message_id", Identifier, "The message it is about", nullable=True),
    _column("status", Text, "Sent, Delivered, Read, Failed, Published, Removed or newer", nullable=True),
    _column("is_final", Boolean, "Whether no further receipt follows", nullable=True),
    _column("reasons", Text, "Why it failed: a JSON list of code and message", nullable=True),
    _column("occurred_at", UtcDateTime, "The platform's clock"),
    Index(None, "platform_message_id"),
    comment="What became of messages; one message has several receipts",
)

routing_updates = Table(
    "routing_updates",
    metadata,
    _primary_key("event_id", RowId, "processed_events.id", autoincrement=False),
    _column("conversation_id", Identifier, "The platform's conversation"),
    _column("occurred_at", UtcDateTime, "The platform's clock"),
    _column("sequence", BigInteger, "The platform's sequence number, 0 for none"),
    _column("received_at", UtcDateTime, "Arrival"),
    _column("routing_status", Text, "What was notified: one of OM_ROUTING_TRANSITIONS"),
    _column("routing_queue", Text, "The routing queue that was notified", nullable=True),
    _column("decision", Text, "applied, late (a newer one stands) or superseded; null: waits", nullable=True),
    _column("platform_status", Text, "What the platform said when it was asked", nullable=True),
    _column("verified", Boolean, "Whether the platform agreed; null: it was not asked", nullable=True),
    _column("decided_at", UtcDateTime, "When, our clock", nullable=True),
    _column("attempts", Integer, "How often the platform was asked", server_default="0"),
    _column("next_attempt_at", UtcDateTime, "When to ask, our clock", nullable=True),
    Index(
        "ix_routing_updates_waiting",
        "next_attempt_at",
        postgresql_where=text("decision IS NULL"),
        sqlite_where=text("decision IS NULL"),
    ),
    Index(None, "conversation_id"),
    comment="Explicit transitions of the routing, and what became of each",
)

outbox = Table(
    "outbox",
    metadata,
    _primary_key("id", RowId, "Rises with the order within each conversation, with gaps"),
    _column("conversation_id", Identifier, "The platform's conversation"),
    _column("event_id", RowId, "processed_events.id; null: a session that nobody notified", nullable=True),
    _column("event_type", Text, "What the services are told"),
    _column("occurred_at", UtcDateTime, "The platform's clock"),
    _column("late", Boolean, "Whether something newer of its conversation went before"),
    _column("verified", Boolean, "Whether the platform agreed; null: it was not asked", nullable=True),
    _column("created_at", UtcDateTime, "When it was settled, our clock"),
    Index(None, "conversation_id", "id"),
    comment="What the services behind are told, in order within each conversation",
)

dead_letters = Table(
    "dead_letters",
    metadata,
    _primary_key("message_id", Identifier, "The accepted request; body_sha256 where it had no id"),
    _column("code", Text, "What is wrong, one stable word: docs/database.md lists them"),
    _column("reason", Text, "What is wrong, naming the field and never its value"),
    _column("body_sha256", Digest, "SHA-256 of the raw body, 32 bytes"),
    _column("source", Text, "webhook, reconcile or replay"),
    _column("received_at", UtcDateTime, "When the edge had read the request"),
    _column("recorded_at", UtcDateTime, "When it was dead-lettered first"),
    _column("attempts", Integer, "Deliveries up to then, from 1"),
    Index(None, "recorded_at", postgresql_using="brin"),
    comment="Why an event is in the dead-letter queue. The body itself is only there",
)

suspects = Table(
    "suspects",
    metadata,
    _primary_key(
        "message_id", Identifier, "A delivery whose worker ended before settling it, more than once"
    ),
    _column("attempts", Integer, "Attempts that were begun alone and not finished"),
    _column("attempted_at", UtcDateTime, "The last of them"),
    comment="Marks set before a suspect is tried and cleared after: what is left killed its worker",
)

drift = Table(
    "drift",
    metadata,
    Column("kind", Text, primary_key=True, comment="unknown_field, unknown_value or wrong_type"),
    Column("name", Text, primary_key=True, comment="The field's path; for values, = and the value"),
    _column("event_type", Text, "An example of where it was seen"),
    _column("first_seen_at", UtcDateTime, "When"),
    comment="What the platform sent that this version does not know, once per name",
)

request_budgets = Table(
    "request_budgets",
    metadata,
    _primary_key("name", Identifier, "Whose limit: the OAuth client's id"),
    _column(
        "paid_at_us", BigInteger, "When all requests so far will be paid for, microseconds since the epoch"
    ),
    comment="How much of the platform's request limit is used, one row for all hosts",
)
