"""How well the platform's notifications arrive, by day."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

VIEW = """
    CREATE VIEW notification_statistics_v1 AS
    SELECT day, sum(notified) AS notified, sum(repeated) AS repeated, sum(recovered) AS recovered,
        sum(dead_letters) AS dead_letters,
        100.0 * (sum(notified) + sum(dead_letters)) / (sum(notified) + sum(dead_letters) + sum(recovered))
            AS success_rate
    FROM (
        SELECT {event_day} AS day, CASE WHEN source = 'webhook' THEN 1 ELSE 0 END AS notified,
            CASE WHEN source = 'webhook' THEN deliveries - 1 ELSE 0 END AS repeated,
            CASE WHEN source = 'reconcile' THEN 1 ELSE 0 END AS recovered, 0 AS dead_letters
        FROM processed_events WHERE source IN ('webhook', 'reconcile')
        UNION ALL
        SELECT {letter_day}, 0, 0, 0, 1 FROM dead_letters WHERE source = 'webhook'
    ) counted
    GROUP BY day"""


def upgrade() -> None:
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    day = "substr(received_at, 1, 10)" if is_sqlite else "(received_at AT TIME ZONE 'UTC')::date::text"
    op.execute(VIEW.format(event_day=day, letter_day=day))


def downgrade() -> None:
    op.execute("DROP VIEW notification_statistics_v1")
