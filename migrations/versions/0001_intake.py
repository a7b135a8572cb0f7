"""Everything that intake writes: events, conversations, messages, receipts, dead letters.

A frozen copy of workers/tables/models/ as it was; later migrations change what is here.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
ROW_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
IDENTIFIER = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def _create_processed_events() -> None:
    op.create_table(
        "processed_events",
        _column("id", ROW_ID, "Rises with arrival, with gaps"),
        _column("idempotency_key", IDENTIFIER, "conversationId:timestamp in UTC:kind:id, sequence or digest"),
        _column("conversation_id", IDENTIFIER, "The platform's conversation"),
        _column(
            "event_type",
            sa.Text,
            "openmessaging:conversation:new|message|updated, openmessaging:receipt|typing",
        ),
        _column("outcome", sa.Text, "processed: took effect; skipped: recorded without effect, see reason"),
        _column("reason", sa.Text, "Why it was skipped, one stable word", nullable=True),
        _column("occurred_at", MOMENT, "The platform's clock"),
        _column("received_at", MOMENT, "When the edge had read the request"),
        _column("processed_at", MOMENT, "When the transaction began that processed it"),
        _column("message_id", IDENTIFIER, "The accepted request, as in the edge's log"),
        _column("source", sa.Text, "webhook, reconcile or replay"),
        _column("dialect", sa.Text, "guide or genesys"),
        _column("body_sha256", sa.LargeBinary, "SHA-256 of the request's raw body, 32 bytes"),
        sa.UniqueConstraint("idempotency_key", name="uq_processed_events_idempotency_key"),
        sa.PrimaryKeyConstraint("id", name="pk_processed_events"),
        comment="Each event once, kept OM_RETENTION_DAYS: the unique key decides what is new",
    )
    op.create_index(
        "ix_processed_events_processed_at", "processed_events", ["processed_at"], postgresql_using="brin"
    )


def _create_conversations() -> None:
    op.create_table(
        "conversations",
        _column("conversation_id", IDENTIFIER, "The platform's conversation"),
        _column("status", sa.Text, "implied: known from its events only; started: its start was notified"),
        _column("social_channel", sa.Text, "The customer's channel or the integration", nullable=True),
        _column("started_at", MOMENT, "When it started by the platform's clock", nullable=True),
        _column(
            "routing_status", sa.Text, "CONTACT-QUEUED or CONTACT-ROUTED, as last notified", nullable=True
        ),
        _column("routing_queue", sa.Text, "The routing queue of the last transition", nullable=True),
        _column("routing_changed_at", MOMENT, "The last transition, platform's clock", nullable=True),
        _column("routing_sequence", sa.BigInteger, "Sequence number of that update, 0 for none"),
        _column("event_count", sa.Integer, "Events claimed; an increment, so a repeated effect would show"),
        _column("message_count", sa.Integer, "Messages claimed; an increment as well"),
        _column("first_event_at", MOMENT, "Oldest event, platform's clock"),
        _column("last_event_at", MOMENT, "Newest event, platform's clock"),
        _column("window_opened_at", MOMENT, "First event not yet settled, our clock", nullable=True),
        _column("window_closes_at", MOMENT, "When the window may be settled, our clock", nullable=True),
        _column("window_limit_at", MOMENT, "window_closes_at moves no further than this", nullable=True),
        _column("updated_at", MOMENT, "Last change of this row, our clock"),
        sa.PrimaryKeyConstraint("conversation_id", name="pk_conversations"),
        comment="One row per conversation. Locked in the order of conversation_id",
    )


def _create_conversation_messages() -> None:
    op.create_table(
        "conversation_messages",
        _column("event_id", ROW_ID, "processed_events.id"),
        _column("conversation_id", IDENTIFIER, "The platform's conversation"),
        _column("occurred_at", MOMENT, "First sort key: the platform's clock"),
        _column("sequence", sa.BigInteger, "Second sort key: the platform's sequence number, 0 for none"),
        _column("received_at", MOMENT, "Third sort key: arrival"),
        _column("platform_message_id", sa.Text, "The platform's message id", nullable=True),
        _column("sender", sa.Text, "inbound, outbound, human or bot where known", nullable=True),
        _column("text", sa.Text, "What the message says: personal data", nullable=True),
        _column("content", sa.Text, "Structured parts as JSON: personal data", nullable=True),
        sa.PrimaryKeyConstraint("event_id", name="pk_conversation_messages"),
        comment="Messages in the order of occurred_at, sequence, received_at, event_id",
    )
    op.create_index(
        "ix_conversation_messages_conversation_id",
        "conversation_messages",
        ["conversation_id", "occurred_at", "sequence"],
    )


def _create_message_receipts() -> None:
    op.create_table(
        "message_receipts",
        _column("event_id", ROW_ID, "processed_events.id"),
        _column("conversation_id", IDENTIFIER, "The platform's conversation"),
        _column("platform_message_id", IDENTIFIER, "The message it is about", nullable=True),
        _column(
            "status", sa.Text, "Sent, Delivered, Read, Failed, Published, Removed or newer", nullable=True
        ),
        _column("is_final", sa.Boolean, "Whether no further receipt follows", nullable=True),
        _column("occurred_at", MOMENT, "The platform's clock"),
        sa.PrimaryKeyConstraint("event_id", name="pk_message_receipts"),
        comment="What became of messages; one message has several receipts",
    )
    op.create_index("ix_message_receipts_platform_message_id", "message_receipts", ["platform_message_id"])


def _create_dead_letters() -> None:
    op.create_table(
        "dead_letters",
        _column("message_id", IDENTIFIER, "The accepted request; body_sha256 where it had no id"),
        _column("code", sa.Text, "What is wrong, one stable word: docs/database.md lists them"),
        _column("reason", sa.Text, "What is wrong, naming the field and never its value"),
        _column("body_sha256", sa.LargeBinary, "SHA-256 of the raw body, 32 bytes"),
        _column("source", sa.Text, "webhook, reconcile or replay"),
        _column("received_at", MOMENT, "When the edge had read the request"),
        _column("recorded_at", MOMENT, "When it was dead-lettered first"),
        _column("attempts", sa.Integer, "Deliveries up to then, from 1"),
        sa.PrimaryKeyConstraint("message_id", name="pk_dead_letters"),
        comment="Why an event is in the dead-letter queue. The body itself is only there",
    )
    op.create_index("ix_dead_letters_recorded_at", "dead_letters", ["recorded_at"], postgresql_using="brin")


def _create_suspects() -> None:
    op.create_table(
        "suspects",
        _column("message_id", IDENTIFIER, "A delivery whose worker ended before settling it, more than once"),
        _column("attempts", sa.Integer, "Attempts that were begun alone and not finished"),
        _column("attempted_at", MOMENT, "The last of them"),
        sa.PrimaryKeyConstraint("message_id", name="pk_suspects"),
        comment="Marks set before a suspect is tried and cleared after: what is left killed its worker",
    )


def _create_drift() -> None:
    op.create_table(
        "drift",
        _column("kind", sa.Text, "unknown_field, unknown_value or wrong_type"),
        _column("name", sa.Text, "The field's path; for values, = and the value"),
        _column("event_type", sa.Text, "An example of where it was seen"),
        _column("first_seen_at", MOMENT, "When"),
        sa.PrimaryKeyConstraint("kind", "name", name="pk_drift"),
        comment="What the platform sent that this version does not know, once per name",
    )


VIEWS = {
    "events_v1": """
        SELECT id, idempotency_key, conversation_id, event_type, outcome, reason, occurred_at, received_at,
            processed_at, message_id, source, dialect, {sha256} AS body_sha256
        FROM processed_events""",
    "dead_letters_v1": """
        SELECT message_id, code, reason, source, received_at, recorded_at, attempts, {sha256} AS body_sha256
        FROM dead_letters""",
    "conversations_v1": """
        SELECT conversation_id, status, social_channel, started_at, routing_status, routing_queue,
            routing_changed_at, event_count, message_count, first_event_at, last_event_at
        FROM conversations""",
}
"""What outside tools may rely on: a column is never renamed or removed here, a new view comes beside."""


def upgrade() -> None:
    _create_processed_events()
    _create_conversations()
    _create_conversation_messages()
    _create_message_receipts()
    _create_dead_letters()
    _create_suspects()
    _create_drift()
    sha256 = (
        "lower(hex(body_sha256))" if op.get_bind().dialect.name == "sqlite" else "encode(body_sha256, 'hex')"
    )
    for name, query in VIEWS.items():
        op.execute(f"CREATE VIEW {name} AS {query.format(sha256=sha256)}")


def downgrade() -> None:
    for name in VIEWS:
        op.execute(f"DROP VIEW {name}")
    for table in (
        "drift",
        "suspects",
        "dead_letters",
        "message_receipts",
        "conversation_messages",
        "conversations",
        "processed_events",
    ):
        op.drop_table(table)


def _column(name: str, kind: Any, comment: str, *, nullable: bool = False) -> sa.Column[Any]:
    # Only the row id is drawn from a sequence; an event_id is one that was drawn.
    return sa.Column(name, kind, comment=comment, nullable=nullable, autoincrement=name == "id")
