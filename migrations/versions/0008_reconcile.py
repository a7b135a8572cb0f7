"""What the platform's history has and we had not."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0010"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
ROW_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
IDENTIFIER = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

VIEWS = {
    "reconciliations_v1": """
        SELECT id, started_by, compared_from, compared_to, conversations, compared, missing, published,
            waiting, unreadable, started_at, finished_at
        FROM reconciliations""",
    "reconciliation_gaps_v1": """
        SELECT g.idempotency_key, g.reconciliation_id, g.conversation_id, g.event_type,
            g.platform_message_id, g.occurred_at, g.found_at, g.published_at, g.message_id,
            CASE WHEN e.source = 'reconcile' THEN 'recovered' WHEN e.id IS NOT NULL THEN 'came late'
                WHEN d.message_id IS NOT NULL THEN 'dead letter' ELSE 'waiting' END AS became,
            e.processed_at
        FROM reconciliation_gaps g
            LEFT JOIN processed_events e ON e.idempotency_key = g.idempotency_key
            LEFT JOIN dead_letters d ON d.message_id = g.message_id""",
}


def _create_reconciliations() -> None:
    op.create_table(
        "reconciliations",
        _column("id", ROW_ID, "Rises with time, with gaps", autoincrement=True),
        _column("started_by", sa.Text, "timer, or the person at the command line"),
        _column("compared_from", MOMENT, "What happened from then on is compared, platform's clock"),
        _column("compared_to", MOMENT, "What happened before is compared; the next one goes on from here"),
        _column(
            "page",
            sa.Integer,
            "Next page of the platform's list of conversations; null: all are listed",
            nullable=True,
        ),
        _column("read_through", IDENTIFIER, "The last conversation that was read; they are read in order"),
        _column("conversations", sa.Integer, "Conversations that were read", server_default="0"),
        _column("compared", sa.Integer, "Messages and receipts that were compared", server_default="0"),
        _column("missing", sa.Integer, "Of these, how many nobody had brought: new gaps", server_default="0"),
        _column("published", sa.Integer, "Gaps that were published to the events' queue", server_default="0"),
        _column("waiting", sa.Integer, "Gaps of earlier ones that are not processed yet", server_default="0"),
        _column(
            "unreadable", sa.Integer, "What the platform's history has in no form known", server_default="0"
        ),
        _column("started_at", MOMENT, "When, our clock"),
        _column("finished_at", MOMENT, "When, our clock; null: under way, or killed", nullable=True),
        _column("held_by", sa.Text, "The process that does it"),
        _column("held_until", MOMENT, "When another process takes it over, our clock"),
        sa.PrimaryKeyConstraint("id", name="pk_reconciliations"),
        comment="Comparisons with the platform's history: how far, how much, what was missing",
    )
    under_way = sa.text("finished_at IS NULL AND started_by = 'timer'")
    op.create_index(
        "ix_reconciliations_under_way",
        "reconciliations",
        ["started_by"],
        unique=True,
        postgresql_where=under_way,
        sqlite_where=under_way,
    )


def _create_gaps() -> None:
    op.create_table(
        "reconciliation_gaps",
        _column("idempotency_key", IDENTIFIER, "Of the event, as processed_events has it once it is there"),
        _column("reconciliation_id", ROW_ID, "reconciliations.id of the one that found it"),
        _column("conversation_id", IDENTIFIER, "The platform's conversation"),
        _column("event_type", sa.Text, "What was missing"),
        _column("platform_message_id", IDENTIFIER, "The message it is, or is about"),
        _column("occurred_at", MOMENT, "The platform's clock"),
        _column("found_at", MOMENT, "When, our clock"),
        _column("published_at", MOMENT, "When the broker had confirmed the copy, our clock"),
        _column("message_id", IDENTIFIER, "Of the copy, as in processed_events and dead_letters"),
        sa.PrimaryKeyConstraint("idempotency_key", name="pk_reconciliation_gaps"),
        comment="What the platform had and we had not; reconciliation_gaps_v1 says what became of it",
    )


def _create_platform_conversations() -> None:
    op.create_table(
        "platform_conversations",
        _column("conversation_id", IDENTIFIER, "The platform's conversation"),
        _column("state", sa.Text, "open; ended: compared to its end; unknown: the platform has no such one"),
        _column("listed_at", MOMENT, "When it was first seen, our clock"),
        _column("read_at", MOMENT, "When it was read last, our clock", nullable=True),
        _column(
            "fingerprint", sa.Text, "Of what was read; the same again needs no comparison", nullable=True
        ),
        sa.PrimaryKeyConstraint("conversation_id", name="pk_platform_conversations"),
        comment="How far each conversation is compared with the platform's history",
    )


def upgrade() -> None:
    _create_reconciliations()
    _create_gaps()
    _create_platform_conversations()
    for name, query in VIEWS.items():
        op.execute(f"CREATE VIEW {name} AS {query}")


def downgrade() -> None:
    for name in VIEWS:
        op.execute(f"DROP VIEW {name}")
    for table in ("platform_conversations", "reconciliation_gaps", "reconciliations"):
        op.drop_table(table)


def _column(name: str, kind: Any, comment: str, *, nullable: bool = False, **others: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, comment=comment, nullable=nullable, **{"autoincrement": False, **others})
