"""How many conversations a comparison with the platform's history could not compare."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0012"
branch_labels = None
depends_on = None

COMMENT = "Conversations that were not compared: the platform refused them, or never had an answer"

VIEW = """
    CREATE VIEW reconciliations_v2 AS
    SELECT id, started_by, compared_from, compared_to, conversations, compared, missing, published,
        waiting, unreadable, started_at, finished_at, unlisted, passed_over
    FROM reconciliations"""


def upgrade() -> None:
    # A constant default touches no row.
    op.add_column(
        "reconciliations",
        sa.Column("passed_over", sa.Integer, nullable=False, server_default="0", comment=COMMENT),
    )
    op.execute(VIEW)
    if op.get_bind().dialect.name != "sqlite":
        op.execute("COMMENT ON VIEW reconciliations_v2 IS 'As reconciliations_v1, and what was not compared'")


def downgrade() -> None:
    op.execute("DROP VIEW reconciliations_v2")
    op.drop_column("reconciliations", "passed_over")
