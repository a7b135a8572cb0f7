"""What the edge answered, how soon, and what it refused, minute by minute."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0015"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
IDENTIFIER = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

VIEW = """
    CREATE VIEW acknowledgement_statistics_v1 AS
    SELECT day, hour, sum(answered) AS answered, sum(within_10_ms) AS within_10_ms,
        sum(within_100_ms) AS within_100_ms, sum(within_1_s) AS within_1_s, sum(within_3_s) AS within_3_s,
        sum(within_10_s) AS within_10_s, max(longest_us) / 1000000.0 AS longest_s,
        sum(status_429) AS shed, sum(status_503) AS unavailable, sum(status_401) AS unauthorized,
        sum(status_413) AS too_large, sum(other_refusals) AS otherwise_refused
    FROM (SELECT {day} AS day, {hour} AS hour, edge_statistics.* FROM edge_statistics) told
    GROUP BY day, hour"""

POSTGRESQL = {
    "day": "(began_at AT TIME ZONE 'UTC')::date::text",
    "hour": "extract(hour FROM began_at AT TIME ZONE 'UTC')::integer",
}
SQLITE = {"day": "substr(began_at, 1, 10)", "hour": "CAST(substr(began_at, 12, 2) AS INTEGER)"}


def upgrade() -> None:
    op.create_table(
        "edge_statistics",
        _column("process", IDENTIFIER, "Unique to an edge process"),
        _column("began_at", MOMENT, "When the interval began, the edge's clock"),
        _column("edge", IDENTIFIER, "The host"),
        _column("duration_us", sa.BigInteger, "How long the interval was: a minute as a rule; microseconds"),
        _column("answered", sa.Integer, "Webhooks answered 200"),
        _column("within_10_ms", sa.Integer, "Of these, how many within 10 ms of being there whole"),
        _column("within_100_ms", sa.Integer, "Within 100 ms"),
        _column("within_1_s", sa.Integer, "Within 1 s"),
        _column("within_3_s", sa.Integer, "Within 3 s, which the guide asks for"),
        _column("within_10_s", sa.Integer, "Within 10 s, after which the platform repeats"),
        _column("longest_us", sa.BigInteger, "The longest, the process being held up included; microseconds"),
        _column("status_401", sa.Integer, "Refused: the signature, or a header"),
        _column("status_413", sa.Integer, "Refused: too large"),
        _column("status_429", sa.Integer, "Refused: shed, the queue being too deep"),
        _column("status_503", sa.Integer, "Refused: the journal full or not written"),
        _column("other_refusals", sa.Integer, "Refused with another status"),
        sa.PrimaryKeyConstraint("process", "began_at", name="pk_edge_statistics"),
        comment="What each edge process answered, minute by minute; a minute without requests has no row",
    )
    op.create_index("ix_edge_statistics_began_at", "edge_statistics", ["began_at"])
    op.execute(VIEW.format(**(SQLITE if op.get_bind().dialect.name == "sqlite" else POSTGRESQL)))


def downgrade() -> None:
    op.execute("DROP VIEW acknowledgement_statistics_v1")
    op.drop_table("edge_statistics")


def _column(name: str, kind: Any, comment: str) -> sa.Column[Any]:
    return sa.Column(name, kind, comment=comment, nullable=False)
