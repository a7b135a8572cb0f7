"""The platform's request limit, shared by all hosts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

IDENTIFIER = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "request_budgets",
        sa.Column("name", IDENTIFIER, nullable=False, comment="Whose limit: the OAuth client's id"),
        sa.Column(
            "paid_at_us",
            sa.BigInteger,
            nullable=False,
            autoincrement=False,
            comment="When all requests so far will be paid for, microseconds since the epoch",
        ),
        sa.PrimaryKeyConstraint("name", name="pk_request_budgets"),
        comment="How much of the platform's request limit is used, one row for all hosts",
    )


def downgrade() -> None:
    op.drop_table("request_budgets")
