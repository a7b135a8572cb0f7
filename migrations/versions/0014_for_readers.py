"""For whoever asks: views of messages, receipts, drift, latency and throughput, and indexes for questions.

All but one of the indexes are summaries of ranges of pages (BRIN): an insert costs them next to nothing, and
they take a hundredth of a B-tree's room (docs/decisions/0250-indexes-for-readers.md). Indexes and constraints
are made beside the traffic, and in PostgreSQL alone: a database in SQLite is small enough to be read, and
would have to be copied for a constraint.
"""

from __future__ import annotations

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_SECONDS = {
    "postgresql": "extract(epoch FROM {end} - {start})::float8",
    "sqlite": "(julianday({end}) - julianday({start})) * 86400.0",
}
_MINUTE = {
    "postgresql": "date_bin('1 minute', processed_at, timestamptz '2000-01-01 00:00Z')",
    "sqlite": "substr(processed_at, 1, 16) || '\\:00.000000'",
}

INDEXES = {
    "ix_reading_events_message_id": "processed_events (message_id)",
    "ix_reading_events_minute": f"processed_events USING brin (({_MINUTE['postgresql']}))",
    "ix_reading_messages_received_at": "conversation_messages USING brin (received_at)",
    "ix_reading_outbox_created_at": "outbox USING brin (created_at)",
    "ix_reading_deliveries_finished_at": "deliveries USING brin (finished_at)",
    "ix_reading_conversations_began_at": ("conversations USING brin (COALESCE(started_at, first_event_at))"),
}
"""Alembic's comparison passes over names that begin so: migrations/env.py."""

CHECKS = {
    ("processed_events", "ck_processed_events_outcome"): "outcome IN ('processed', 'skipped')",
    ("processed_events", "ck_processed_events_deliveries"): "deliveries >= 1",
    ("processed_events", "ck_processed_events_body_sha256"): "octet_length(body_sha256) = 32",
    ("conversations", "ck_conversations_status"): "status IN ('implied', 'started')",
    ("routing_updates", "ck_routing_updates_decision"): "decision IN ('applied', 'late', 'superseded')",
    ("deliveries", "ck_deliveries_outcome"): "outcome IN ('delivered', 'dead')",
}
"""What this service's own code alone decides. What comes with an event is not refused by a constraint."""

VIEWS = {
    "messages_v1": """
        SELECT event_id, conversation_id, occurred_at, sequence, received_at, position, platform_message_id,
            sender, length(text) AS characters, content IS NOT NULL AS has_content
        FROM conversation_messages""",
    "receipts_v1": """
        SELECT event_id, conversation_id, platform_message_id, status, is_final, reasons, occurred_at
        FROM message_receipts""",
    "drift_v1": """
        SELECT kind, name, event_type, sample, count, first_seen_at, last_seen_at, accepted_at, accepted_by
        FROM drift""",
    "latency_v1": """
        SELECT id, conversation_id, event_type, source, occurred_at, received_at, processed_at,
            {arrived} AS arrived_after_seconds, {processed} AS processed_after_seconds
        FROM processed_events""",
    "throughput_v1": """
        SELECT {minute} AS minute, event_type, outcome, source, count(*) AS events,
            sum(deliveries) AS deliveries
        FROM processed_events GROUP BY {minute}, event_type, outcome, source""",
    "deliveries_v2": """
        SELECT outbox_id, destination, event_id, conversation_id, event_type, occurred_at, created_at, due_at,
            attempts, first_attempt_at, status, reason, outcome, finished_at, {told} AS finished_after_seconds
        FROM deliveries_v1""",
    "interactions_v2": """
        SELECT conversation_id, social_channel, began_at, last_event_at, messages, routing_status,
            routing_queue, queued_at, routed_at, {queued} AS queued_seconds
        FROM interactions_v1""",
}

COMMENTS = {
    "events_v1": "One row per event, claimed once however often it was delivered",
    "events_v2": "The same, and how often it came",
    "duplicate_events_v1": "Conflicts: the key of a known event with another content",
    "dead_letters_v1": "Events that cannot be processed, and why",
    "dead_letters_v2": "The same, and what a person decided since",
    "interventions_v1": "Decisions of people about events: replay, discard",
    "conversations_v1": "One row per conversation",
    "conversations_v2": "The same, and how far it is settled",
    "routing_updates_v1": "Explicit transitions of the routing, and what became of each",
    "outbox_v1": "What the services behind are told, in order within each conversation",
    "deliveries_v1": "What each destination is told, and how that went",
    "destinations_v1": "How much waits for each destination, and since when",
    "interactions_v1": "One row per interaction, for workforce reports",
    "reconciliations_v1": "Comparisons with the platform's history",
    "reconciliation_gaps_v1": "What the platform had and we had not, and what became of it",
    "notification_statistics_v1": "By day: what webhooks brought, what came again, what had to be recovered",
    "acknowledgement_statistics_v1": "By hour: what the edge answered, how soon, and what it refused",
    "messages_v1": "One row per message, without what it says",
    "receipts_v1": "What became of messages; one message has several receipts",
    "drift_v1": "What the platform sent that this version does not know, once per name",
    "latency_v1": "One row per event: how long it was on its way here, and how long it then waited",
    "throughput_v1": "Events by minute of processing, type, outcome and source; ask for minutes since then",
    "deliveries_v2": "As deliveries_v1, and after how many seconds it was finished",
    "interactions_v2": "As interactions_v1, and how many seconds it queued",
}


def upgrade() -> None:
    dialect = op.get_bind().dialect.name
    if dialect == "postgresql":
        _build_indexes()
        _add_checks()
    seconds = _SECONDS[dialect].format
    words = {
        "minute": _MINUTE[dialect],
        "arrived": seconds(start="occurred_at", end="received_at"),
        "processed": seconds(start="received_at", end="processed_at"),
        "told": seconds(start="created_at", end="finished_at"),
        "queued": seconds(start="queued_at", end="routed_at"),
    }
    for name, query in VIEWS.items():
        op.execute(f"CREATE VIEW {name} AS {query.format(**words)}")
    if dialect == "postgresql":
        for name, comment in COMMENTS.items():
            op.execute(f"COMMENT ON VIEW {name} IS '{comment.replace(chr(39), chr(39) * 2)}'")


def _build_indexes() -> None:
    """Build them first, each in a transaction of its own; what a failed attempt left goes."""
    with op.get_context().autocommit_block():
        for name, what in INDEXES.items():
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            op.execute(f"CREATE INDEX CONCURRENTLY {name} ON {what}")


def _add_checks() -> None:
    """Add them at once for what comes, then look at what is there, which closes the table to nobody."""
    with op.get_context().autocommit_block():
        for (table, name), condition in CHECKS.items():
            op.execute(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}")
            op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({condition}) NOT VALID")
            op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}")


def downgrade() -> None:
    for name in reversed(VIEWS):
        op.execute(f"DROP VIEW {name}")
    if op.get_bind().dialect.name == "postgresql":
        for name in COMMENTS.keys() - VIEWS.keys():
            op.execute(f"COMMENT ON VIEW {name} IS NULL")
        for name in INDEXES:
            op.execute(f"DROP INDEX {name}")
        for table, name in CHECKS:
            op.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
