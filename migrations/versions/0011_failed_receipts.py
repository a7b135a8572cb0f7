"""What agents are told of messages that came to nothing, and a fourth way for events to come in."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0009"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
ROW_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
IDENTIFIER = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

SOURCES = "webhook, reconcile, replay or ingest"
FORMER_SOURCES = "webhook, reconcile or replay"
SOURCE_TABLES = ("processed_events", "duplicate_events", "dead_letters")


def upgrade() -> None:
    op.create_table(
        "failed_receipts",
        _column("event_id", ROW_ID, "processed_events.id of the message"),
        _column("destination", IDENTIFIER, "The first that gave it up"),
        _column("status", sa.Integer, "HTTP status of its last answer", nullable=True),
        _column("reason", sa.Text, "Why its last attempt failed, in a word", nullable=True),
        _column("due_at", MOMENT, "Not before"),
        _column("attempts", sa.Integer, "How often it was begun"),
        _column("begun_at", MOMENT, "When the request under way began, our clock", nullable=True),
        _column("outcome", sa.Text, "sent, refused, unknown or gone; null: waits", nullable=True),
        _column("problem", sa.Text, "What the platform said last, in a word", nullable=True),
        _column("finished_at", MOMENT, "When, our clock", nullable=True),
        sa.PrimaryKeyConstraint("event_id", name="pk_failed_receipts"),
        comment="Messages that were given up, of which the agent is told; each once",
    )
    condition = sa.text("outcome IS NULL")
    op.create_index(
        "ix_failed_receipts_due",
        "failed_receipts",
        ["due_at"],
        postgresql_where=condition,
        sqlite_where=condition,
    )
    _comment_sources(SOURCES)


def downgrade() -> None:
    op.drop_table("failed_receipts")
    _comment_sources(FORMER_SOURCES)


def _comment_sources(comment: str) -> None:
    if op.get_bind().dialect.name == "postgresql":
        for table in SOURCE_TABLES:
            op.execute(f"COMMENT ON COLUMN {table}.source IS '{comment}'")


def _column(name: str, kind: Any, comment: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, kind, comment=comment, nullable=nullable, autoincrement=False)
