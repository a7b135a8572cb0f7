"""How often drift is seen and what it looks like, and which workers hold their events.

New columns are empty, or have a constant: PostgreSQL rewrites no table for them.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
IDENTIFIER = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

ACTION = "What was done: docs/omctl.md has the commands"
FORMER_ACTION = "replay-letters, discard-letters or replay-events"


def _create_brakes() -> None:
    op.create_table(
        "brakes",
        _column("worker", IDENTIFIER, "Host and name of the intake worker"),
        _column("braked_at", MOMENT, "Since when it holds its events, our clock"),
        _column("judged", sa.Integer, "Events that it had judged by then"),
        _column("died", sa.Integer, "Of those, how many had become dead letters"),
        _column("tried_at", MOMENT, "When it last tried an event; a worker that has ended tries none"),
        _column("released_until", MOMENT, "Until when it is told to hold nothing", nullable=True),
        _column("intervention_id", IDENTIFIER, "Who told it: interventions.intervention_id", nullable=True),
        sa.PrimaryKeyConstraint("worker", name="pk_brakes"),
        comment="Intake workers that hold their events, since nearly all of them became dead letters",
    )


def upgrade() -> None:
    for column in (
        _column("last_seen_at", MOMENT, "When; written now and then", nullable=True),
        _column(
            "count", sa.BigInteger, "How often it was read, copies and further tries too", server_default="1"
        ),
        _column("sample", sa.Text, "The shape of a value it had, never a person's words", nullable=True),
    ):
        op.add_column("drift", column)
    op.execute("UPDATE drift SET last_seen_at = first_seen_at")
    _create_brakes()
    _explain_actions(ACTION, FORMER_ACTION)


def downgrade() -> None:
    _explain_actions(FORMER_ACTION, ACTION)
    op.drop_table("brakes")
    for name in ("sample", "count", "last_seen_at"):
        op.drop_column("drift", name)


def _explain_actions(comment: str, former: str) -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column("interventions", "action", comment=comment, existing_comment=former)


def _column(name: str, kind: Any, comment: str, *, nullable: bool = False, **others: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, comment=comment, nullable=nullable, **{"autoincrement": False, **others})
