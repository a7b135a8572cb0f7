"""Events that are counted and not stored, and a third dialect."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0007"
branch_labels = None
depends_on = None

DIALECTS = "COMMENT ON COLUMN processed_events.dialect IS '{}'"


def upgrade() -> None:
    op.create_table(
        "unstored_events",
        sa.Column(
            "day", sa.DateTime(timezone=True), nullable=False, comment="Its beginning in UTC, our clock"
        ),
        sa.Column("event_type", sa.Text, nullable=False, comment="openmessaging:typing"),
        sa.Column("events", sa.BigInteger, nullable=False, comment="How many came; copies count too"),
        sa.PrimaryKeyConstraint("day", "event_type", name="pk_unstored_events"),
        comment="Events that have no row of their own, counted by day",
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute(DIALECTS.format("guide, genesys or eventbridge"))


def downgrade() -> None:
    op.drop_table("unstored_events")
    if op.get_bind().dialect.name == "postgresql":
        op.execute(DIALECTS.format("guide or genesys"))
