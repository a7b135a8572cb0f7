"""Settling: windows that close, updates that wait for the platform's word, and the outbox.

Columns with constant defaults: PostgreSQL rewrites no table for them. The index is built beside the traffic.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
ROW_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
IDENTIFIER = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

WINDOWS = "ix_conversations_window_opened_at"

CONVERSATION_COLUMNS = (
    ("window_from_at", MOMENT, "Oldest event of the window, platform's clock", None),
    ("settled_count", sa.Integer(), "Of event_count, how many are settled", "0"),
    ("settled_through_at", MOMENT, "Newest event settled, platform's clock", None),
    ("settled_through_sequence", sa.BigInteger(), "Its sequence number, 0 for none", "0"),
    ("session_opened_at", MOMENT, "When its session went to the outbox, our clock", None),
)

VIEWS = {
    "outbox_v1": """
        SELECT id, conversation_id, event_id, event_type, occurred_at, late, verified, created_at
        FROM outbox""",
    "routing_updates_v1": """
        SELECT event_id, conversation_id, occurred_at, sequence, received_at, routing_status, routing_queue,
            decision, platform_status, verified, decided_at, attempts, next_attempt_at
        FROM routing_updates""",
    "conversations_v2": """
        SELECT conversation_id, status, social_channel, started_at, routing_status, routing_queue,
            routing_changed_at, event_count, message_count, first_event_at, last_event_at, settled_count,
            settled_through_at, session_opened_at, window_closes_at
        FROM conversations""",
}


def _index_windows() -> None:
    """Build the index first, since it is a transaction of its own; what a failed attempt left goes."""
    columns, where = ["window_opened_at"], sa.text("window_opened_at IS NOT NULL")
    if op.get_bind().dialect.name != "postgresql":
        op.create_index(WINDOWS, "conversations", columns, sqlite_where=where)
        return
    with op.get_context().autocommit_block():
        op.drop_index(WINDOWS, if_exists=True, postgresql_concurrently=True)
        op.create_index(
            WINDOWS, "conversations", columns, postgresql_where=where, postgresql_concurrently=True
        )


def _add_columns() -> None:
    for name, kind, comment, default in CONVERSATION_COLUMNS:
        column = sa.Column(name, kind, comment=comment, nullable=default is None, server_default=default)
        op.add_column("conversations", column)
    op.add_column(
        "conversation_messages",
        sa.Column(
            "position",
            sa.Integer,
            nullable=False,
            server_default="0",
            comment="Its number among the conversation's events, by commit",
        ),
    )


def _create_routing_updates() -> None:
    op.create_table(
        "routing_updates",
        _column("event_id", ROW_ID, "processed_events.id"),
        _column("conversation_id", IDENTIFIER, "The platform's conversation"),
        _column("occurred_at", MOMENT, "The platform's clock"),
        _column("sequence", sa.BigInteger, "The platform's sequence number, 0 for none"),
        _column("received_at", MOMENT, "Arrival"),
        _column("routing_status", sa.Text, "What was notified: one of OM_ROUTING_TRANSITIONS"),
        _column("routing_queue", sa.Text, "The routing queue that was notified", nullable=True),
        _column(
            "decision",
            sa.Text,
            "applied, late (a newer one stands) or superseded; null: waits",
            nullable=True,
        ),
        _column("platform_status", sa.Text, "What the platform said when it was asked", nullable=True),
        _column("verified", sa.Boolean, "Whether the platform agreed; null: it was not asked", nullable=True),
        _column("decided_at", MOMENT, "When, our clock", nullable=True),
        _column("attempts", sa.Integer, "How often the platform was asked", server_default="0"),
        _column("next_attempt_at", MOMENT, "When to ask, our clock", nullable=True),
        sa.PrimaryKeyConstraint("event_id", name="pk_routing_updates"),
        comment="Explicit transitions of the routing, and what became of each",
    )
    where = sa.text("decision IS NULL")
    op.create_index(
        "ix_routing_updates_waiting",
        "routing_updates",
        ["next_attempt_at"],
        postgresql_where=where,
        sqlite_where=where,
    )
    op.create_index("ix_routing_updates_conversation_id", "routing_updates", ["conversation_id"])


def _create_outbox() -> None:
    op.create_table(
        "outbox",
        _column("id", ROW_ID, "Rises with the order within each conversation, with gaps", autoincrement=True),
        _column("conversation_id", IDENTIFIER, "The platform's conversation"),
        _column(
            "event_id", ROW_ID, "processed_events.id; null: a session that nobody notified", nullable=True
        ),
        _column("event_type", sa.Text, "What the services are told"),
        _column("occurred_at", MOMENT, "The platform's clock"),
        _column("late", sa.Boolean, "Whether something newer of its conversation went before"),
        _column("verified", sa.Boolean, "Whether the platform agreed; null: it was not asked", nullable=True),
        _column("created_at", MOMENT, "When it was settled, our clock"),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
        comment="What the services behind are told, in order within each conversation",
    )
    op.create_index("ix_outbox_conversation_id", "outbox", ["conversation_id", "id"])


def upgrade() -> None:
    _index_windows()
    _add_columns()
    _create_routing_updates()
    _create_outbox()
    for name, query in VIEWS.items():
        op.execute(f"CREATE VIEW {name} AS {query}")


def downgrade() -> None:
    for name in VIEWS:
        op.execute(f"DROP VIEW {name}")
    op.drop_table("outbox")
    op.drop_table("routing_updates")
    op.drop_index(WINDOWS, "conversations")
    op.drop_column("conversation_messages", "position")
    for name, *_ in reversed(CONVERSATION_COLUMNS):
        op.drop_column("conversations", name)


def _column(name: str, kind: Any, comment: str, *, nullable: bool = False, **others: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, comment=comment, nullable=nullable, **{"autoincrement": False, **others})
