"""Comparisons for which the platform listed no conversations."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0014"
branch_labels = None
depends_on = None

COMMENT = "Why the platform listed no conversations; those never heard of are not compared; null: it did"


def upgrade() -> None:
    op.add_column("reconciliations", sa.Column("unlisted", sa.Text, nullable=True, comment=COMMENT))


def downgrade() -> None:
    op.drop_column("reconciliations", "unlisted")
