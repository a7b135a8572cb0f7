"""Content: raw bodies, what came again, what conflicted, and the reasons of receipts.

Columns with constant defaults and an index that is built beside the traffic: PostgreSQL locks no table for
longer than a moment, whatever it holds.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
ROW_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
IDENTIFIER = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

INDEX = "ix_processed_events_conversation_id"

COMMENTS = {
    ("processed_events", "idempotency_key"): (
        "Equal for every copy of one event: docs/database.md",
        "conversationId:timestamp in UTC:kind:id, sequence or digest",
    ),
    ("conversations", "routing_status"): (
        "CONTACT-QUEUED or CONTACT-ROUTED, of the newest update",
        "CONTACT-QUEUED or CONTACT-ROUTED, as last notified",
    ),
    ("conversations", "routing_queue"): (
        "The routing queue of that update",
        "The routing queue of the last transition",
    ),
    ("conversations", "routing_changed_at"): (
        "When it was made, platform's clock",
        "The last transition, platform's clock",
    ),
}
"""What is said of columns from here on, and what was said before."""

VIEWS = {
    "events_v2": """
        SELECT id, idempotency_key, conversation_id, event_type, outcome, reason, occurred_at, received_at,
            processed_at, message_id, source, dialect, {sha256} AS body_sha256, deliveries, last_delivered_at
        FROM processed_events""",
    "duplicate_events_v1": """
        SELECT event_id, idempotency_key, {sha256} AS body_sha256, message_id, source, deliveries,
            first_seen_at, last_seen_at
        FROM duplicate_events""",
}


def _is_postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"


def _index_conversations() -> None:
    """Build the index first, since it is a transaction of its own; what a failed attempt left goes."""
    if not _is_postgresql():
        op.create_index(INDEX, "processed_events", ["conversation_id"])
        return
    with op.get_context().autocommit_block():
        op.drop_index(INDEX, if_exists=True, postgresql_concurrently=True)
        op.create_index(INDEX, "processed_events", ["conversation_id"], postgresql_concurrently=True)


def _count_deliveries() -> None:
    for column in (
        sa.Column(
            "deliveries",
            sa.Integer,
            nullable=False,
            server_default="1",
            comment="How often it came with this very body, from 1",
        ),
        sa.Column("last_delivered_at", MOMENT, comment="When it came again last; null for once"),
    ):
        op.add_column("processed_events", column)


def _create_event_payloads() -> None:
    op.create_table(
        "event_payloads",
        sa.Column("event_id", ROW_ID, autoincrement=False, nullable=False, comment="processed_events.id"),
        sa.Column(
            "stored_at",
            MOMENT,
            nullable=False,
            comment="When, our clock; kept OM_PAYLOAD_RETENTION_DAYS from then",
        ),
        sa.Column(
            "body",
            sa.LargeBinary,
            nullable=False,
            comment="The request's raw body, byte for byte: personal data, tokens",
        ),
        sa.PrimaryKeyConstraint("event_id", name="pk_event_payloads"),
        comment="What was answered 200, untouched: no right to read it for anybody who only reports",
    )


def _create_duplicate_events() -> None:
    columns = (
        ("event_id", ROW_ID, "processed_events.id of the first with this key"),
        ("body_sha256", sa.LargeBinary(32), "SHA-256 of this other body, 32 bytes"),
        ("idempotency_key", IDENTIFIER, "The key that both have"),
        ("body", sa.LargeBinary, "The other body, byte for byte: personal data, tokens"),
        ("message_id", IDENTIFIER, "The accepted request that brought it first"),
        ("source", sa.Text, "webhook, reconcile or replay"),
        ("deliveries", sa.Integer, "How often it came, from 1"),
        ("first_seen_at", MOMENT, "When it came first, our clock"),
        ("last_seen_at", MOMENT, "When it came last, our clock"),
    )
    op.create_table(
        "duplicate_events",
        *(
            sa.Column(name, kind, autoincrement=False, nullable=False, comment=comment)
            for name, kind, comment in columns
        ),
        sa.PrimaryKeyConstraint("event_id", "body_sha256", name="pk_duplicate_events"),
        comment="Conflicts: the key of an event that is known, with another content",
    )


def _comment(version: int) -> None:
    """Explain columns as they are now (0) or were before (1); SQLite keeps no comments."""
    if _is_postgresql():
        for (table, column), comments in COMMENTS.items():
            op.alter_column(table, column, comment=comments[version])


def upgrade() -> None:
    _index_conversations()
    _count_deliveries()
    op.add_column(
        "message_receipts",
        sa.Column("reasons", sa.Text, comment="Why it failed: a JSON list of code and message"),
    )
    _create_event_payloads()
    _create_duplicate_events()
    _comment(0)
    sha256 = "encode(body_sha256, 'hex')" if _is_postgresql() else "lower(hex(body_sha256))"
    for name, query in VIEWS.items():
        op.execute(f"CREATE VIEW {name} AS {query.format(sha256=sha256)}")


def downgrade() -> None:
    for name in VIEWS:
        op.execute(f"DROP VIEW {name}")
    _comment(1)
    for table in ("duplicate_events", "event_payloads"):
        op.drop_table(table)
    op.drop_column("message_receipts", "reasons")
    for column in ("last_delivered_at", "deliveries"):
        op.drop_column("processed_events", column)
    op.drop_index(INDEX, "processed_events")
