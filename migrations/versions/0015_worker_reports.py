"""What each worker says of itself, for metrics and the status page."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0011"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
IDENTIFIER = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "worker_reports",
        _column("role", IDENTIFIER, "intake, settle, deliver or reconcile"),
        _column("worker", IDENTIFIER, "Host and name of the process"),
        _column("started_at", MOMENT, "When the process began, our clock; its counts begin with it"),
        _column("reported_at", MOMENT, "When it last said so, our clock; every ten seconds"),
        _column("figures", sa.Text, "Its counts as JSON: by name, or by name and destination"),
        sa.PrimaryKeyConstraint("role", "worker", name="pk_worker_reports"),
        comment="Workers that run, and what each has counted; one that stops takes its row away",
    )


def downgrade() -> None:
    op.drop_table("worker_reports")


def _column(name: str, kind: Any, comment: str) -> sa.Column[Any]:
    return sa.Column(name, kind, comment=comment, nullable=False)
