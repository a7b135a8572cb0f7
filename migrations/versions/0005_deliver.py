"""Delivering: destinations, what each is told of, and a row for each thing to tell.

The trigger makes a delivery of each new row of the outbox, in its transaction: no row can be missed, whoever
writes it, and none is written while nobody is configured. Deliveries cannot be planned later by the outbox's
ids: a lower one may be committed after a higher one.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
ROW_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
IDENTIFIER = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

TRIGGERS = {
    "postgresql": (
        """
        CREATE FUNCTION plan_deliveries() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO deliveries (outbox_id, destination, conversation_id, due_at, attempts)
            SELECT o.id, s.destination, o.conversation_id, o.created_at, 0
            FROM new_rows o JOIN subscriptions s ON s.event_type = o.event_type;
            RETURN NULL;
        END $$""",
        """
        CREATE TRIGGER outbox_plans_deliveries AFTER INSERT ON outbox
        REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION plan_deliveries()""",
    ),
    "sqlite": (
        """
        CREATE TRIGGER outbox_plans_deliveries AFTER INSERT ON outbox
        BEGIN
            INSERT INTO deliveries (outbox_id, destination, conversation_id, due_at, attempts)
            SELECT NEW.id, s.destination, NEW.conversation_id, NEW.created_at, 0
            FROM subscriptions s WHERE s.event_type = NEW.event_type;
        END""",
    ),
}

VIEWS = {
    "deliveries_v1": """
        SELECT d.outbox_id, d.destination, o.event_id, d.conversation_id, o.event_type, o.occurred_at,
            o.created_at, d.due_at, d.attempts, d.first_attempt_at, d.status, d.reason, d.outcome,
            d.finished_at
        FROM deliveries d JOIN outbox o ON o.id = d.outbox_id""",
    "destinations_v1": """
        SELECT s.name AS destination, s.registered_at, s.paused_at, s.paused_because,
            (SELECT count(*) FROM deliveries d WHERE d.destination = s.name AND d.outcome IS NULL) AS waiting,
            (SELECT min(o.created_at) FROM deliveries d JOIN outbox o ON o.id = d.outbox_id
             WHERE d.destination = s.name AND d.outcome IS NULL) AS oldest_waiting_at
        FROM destinations s""",
    "interactions_v1": """
        SELECT c.conversation_id, c.social_channel, COALESCE(c.started_at, c.first_event_at) AS began_at,
            c.last_event_at, c.message_count AS messages, c.routing_status, c.routing_queue,
            (SELECT min(u.occurred_at) FROM routing_updates u WHERE u.conversation_id = c.conversation_id
                AND u.decision IN ('applied', 'late') AND u.routing_status = 'CONTACT-QUEUED') AS queued_at,
            (SELECT min(u.occurred_at) FROM routing_updates u WHERE u.conversation_id = c.conversation_id
                AND u.decision IN ('applied', 'late') AND u.routing_status = 'CONTACT-ROUTED') AS routed_at
        FROM conversations c""",
}


def _create_destinations() -> None:
    op.create_table(
        "destinations",
        _column("name", IDENTIFIER, "As in OM_DESTINATIONS"),
        _column("registered_at", MOMENT, "From when on it is told of events, our clock"),
        _column("paused_at", MOMENT, "Since when it gets nothing; null: it does", nullable=True),
        _column("paused_because", sa.Text, "operator, or gone: it answered 410", nullable=True),
        sa.PrimaryKeyConstraint("name", name="pk_destinations"),
        comment="The services behind, as the newest deliver process found them configured",
    )
    op.create_table(
        "subscriptions",
        _column("event_type", sa.Text, "An event type of the outbox"),
        _column("destination", IDENTIFIER, "Who is told of it: destinations.name"),
        sa.PrimaryKeyConstraint("event_type", "destination", name="pk_subscriptions"),
        comment="What a row of the outbox becomes a delivery for, at once, by a trigger",
    )


def _create_deliveries() -> None:
    op.create_table(
        "deliveries",
        _column("outbox_id", ROW_ID, "outbox.id"),
        _column("destination", IDENTIFIER, "destinations.name"),
        _column("conversation_id", IDENTIFIER, "The platform's conversation"),
        _column("due_at", MOMENT, "Not before; while somebody tries, when it is taken from them"),
        _column(
            "attempts", sa.Integer, "Attempts that failed, but for those at a destination known to be down"
        ),
        _column("first_attempt_at", MOMENT, "When the first one failed, our clock", nullable=True),
        _column("status", sa.Integer, "HTTP status of the last answer", nullable=True),
        _column("reason", sa.Text, "Why the last attempt failed, in a word", nullable=True),
        _column("outcome", sa.Text, "delivered, or dead: given up; null: waits", nullable=True),
        _column("finished_at", MOMENT, "When it was delivered or given up, our clock", nullable=True),
        _column("dead_lettered_at", MOMENT, "When the dead letter was published", nullable=True),
        sa.PrimaryKeyConstraint("outbox_id", "destination", name="pk_deliveries"),
        comment="One row for each row of the outbox and destination that is told of it",
    )
    _index("ix_deliveries_due", ["destination", "due_at"], "outcome IS NULL")
    _index("ix_deliveries_order", ["destination", "conversation_id", "outbox_id"], "outcome IS NULL")
    _index("ix_deliveries_untold", ["outbox_id"], "outcome = 'dead' AND dead_lettered_at IS NULL")


def upgrade() -> None:
    _create_destinations()
    _create_deliveries()
    for statement in TRIGGERS[op.get_bind().dialect.name]:
        op.execute(statement)
    for name, query in VIEWS.items():
        op.execute(f"CREATE VIEW {name} AS {query}")


def downgrade() -> None:
    for name in VIEWS:
        op.execute(f"DROP VIEW {name}")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP TRIGGER outbox_plans_deliveries ON outbox")
        op.execute("DROP FUNCTION plan_deliveries()")
    else:
        op.execute("DROP TRIGGER outbox_plans_deliveries")
    for table in ("deliveries", "subscriptions", "destinations"):
        op.drop_table(table)


def _index(name: str, columns: list[str], where: str) -> None:
    condition = sa.text(where)
    op.create_index(name, "deliveries", columns, postgresql_where=condition, sqlite_where=condition)


def _column(name: str, kind: Any, comment: str, *, nullable: bool = False, **others: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, comment=comment, nullable=nullable, **{"autoincrement": False, **others})
