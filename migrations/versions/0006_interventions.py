"""What people decide about events, dead letters and drift.

New columns are empty: PostgreSQL rewrites no table for them.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
ROW_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
IDENTIFIER = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

NEW_COLUMNS: tuple[tuple[str, str, Any, str], ...] = (
    (
        "dead_letters",
        "intervention_id",
        IDENTIFIER,
        "What a person decided since it died: interventions.intervention_id",
    ),
    ("dead_letters", "decided_at", MOMENT, "When, our clock"),
    ("drift", "accepted_at", MOMENT, "Since when it is no news any more: omctl drift accept"),
    ("drift", "accepted_by", sa.Text(), "Who said so"),
)

VIEWS = {
    "dead_letters_v2": """
        SELECT l.message_id, l.code, l.reason, l.source, l.received_at, l.recorded_at, l.attempts,
            {sha256} AS body_sha256, i.action, i.person, l.decided_at, l.intervention_id
        FROM dead_letters l LEFT JOIN interventions i ON i.intervention_id = l.intervention_id""",
    "interventions_v1": """
        SELECT intervention_id, action, person, reason, selection, again, chosen, done, outcome, started_at,
            ended_at
        FROM interventions""",
}


def _create_interventions() -> None:
    op.create_table(
        "interventions",
        _column("intervention_id", IDENTIFIER, "Drawn at random"),
        _column("action", sa.Text, "replay-letters, discard-letters or replay-events"),
        _column("person", sa.Text, "The operating system's user and host"),
        _column("reason", sa.Text, "Why, in that person's words"),
        _column("selection", sa.Text, "What was chosen, as JSON: filters and the cut-off, no content"),
        _column("again", sa.Boolean, "Whether events that took effect were to take effect once more"),
        _column("chosen", sa.BigInteger, "How many were chosen"),
        _column("done", sa.BigInteger, "How many are done", server_default="0"),
        _column("through", ROW_ID, "Of replay-events: processed_events.id of the last done", nullable=True),
        _column("outcome", sa.Text, "done or cancelled; null: under way, or killed", nullable=True),
        _column("started_at", MOMENT, "When, our clock"),
        _column("ended_at", MOMENT, "When, our clock", nullable=True),
        sa.PrimaryKeyConstraint("intervention_id", name="pk_interventions"),
        comment="What people decided about events and dead letters: who, why, when, how many",
    )


def _create_discarded_letters() -> None:
    op.create_table(
        "discarded_letters",
        _column("id", ROW_ID, "Rises with time, with gaps", autoincrement=True),
        _column("message_id", IDENTIFIER, "dead_letters.message_id"),
        _column("intervention_id", IDENTIFIER, "interventions.intervention_id"),
        _column("discarded_at", MOMENT, "When, our clock; kept OM_PAYLOAD_RETENTION_DAYS from then"),
        _column("body", sa.LargeBinary, "The raw body, byte for byte: personal data, tokens"),
        sa.PrimaryKeyConstraint("id", name="pk_discarded_letters"),
        comment="Bodies of dead letters that a person discarded, in case it was a mistake",
    )


def upgrade() -> None:
    for table, name, kind, comment in NEW_COLUMNS:
        op.add_column(table, sa.Column(name, kind, comment=comment, nullable=True))
    _create_interventions()
    _create_discarded_letters()
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    sha256 = "lower(hex(l.body_sha256))" if is_sqlite else "encode(l.body_sha256, 'hex')"
    for name, query in VIEWS.items():
        op.execute(f"CREATE VIEW {name} AS {query.format(sha256=sha256)}")


def downgrade() -> None:
    for name in VIEWS:
        op.execute(f"DROP VIEW {name}")
    op.drop_table("discarded_letters")
    op.drop_table("interventions")
    for table, name, *_ in reversed(NEW_COLUMNS):
        op.drop_column(table, name)


def _column(name: str, kind: Any, comment: str, *, nullable: bool = False, **others: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, comment=comment, nullable=nullable, **{"autoincrement": False, **others})
