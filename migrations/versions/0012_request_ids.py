"""Under which id a request went, from the gateway to the row."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0016"
branch_labels = None
depends_on = None

VIEW = """
    CREATE VIEW events_v3 AS
    SELECT id, idempotency_key, conversation_id, event_type, outcome, reason, occurred_at, received_at,
        processed_at, message_id, source, dialect, {sha256} AS body_sha256, deliveries, last_delivered_at,
        request_id
    FROM processed_events"""


def upgrade() -> None:
    # Without a default no row is touched: the lock lasts as long as the catalogue's change.
    op.add_column(
        "processed_events",
        sa.Column(
            "request_id", sa.Text, comment="Its request's, as in the gateway's log and the answer's header"
        ),
    )
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    op.execute(VIEW.format(sha256="lower(hex(body_sha256))" if is_sqlite else "encode(body_sha256, 'hex')"))
    if not is_sqlite:
        op.execute("COMMENT ON VIEW events_v3 IS 'As events_v2, and the id of its request'")


def downgrade() -> None:
    op.execute("DROP VIEW events_v3")
    op.drop_column("processed_events", "request_id")
