"""Create the tables, views and indexes of version 1.0.

This file contains a frozen copy of workers/db/models/ as of that version, and objects that only the database
has: views, the trigger that plans deliveries, and indexes for the queries of database administrators.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
ROW_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
IDENTIFIER = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

BRIN: dict[str, Any] = {"postgresql_using": "brin", "postgresql_with": {"autosummarize": "on"}}
"""Options of an index that summarises the values in each range of pages.

Without autosummarize, new ranges are summarised only at the next vacuum, which on a large table runs after
millions of new rows. Until then, every query reads all of these ranges.
"""

TABLES = (
    "processed_events",
    "event_payloads",
    "event_conflicts",
    "drift",
    "unstored_events",
    "conversations",
    "conversation_messages",
    "message_receipts",
    "routing_updates",
    "dead_letters",
    "suspects",
    "interventions",
    "discarded_dead_letters",
    "outbox",
    "request_budgets",
    "destinations",
    "subscriptions",
    "deliveries",
    "failed_receipts",
    "reconciliations",
    "reconciliation_gaps",
    "platform_conversations",
    "edge_statistics",
    "worker_reports",
    "canaries",
)

EXPRESSIONS = {
    "postgresql": {
        "sha256": "encode(body_sha256, 'hex')",
        "dead_letter_sha256": "encode(l.body_sha256, 'hex')",
        "minute": "date_bin('1 minute', processed_at, timestamptz '2000-01-01 00:00Z')",
        "arrived": "extract(epoch FROM received_at - occurred_at)::float8",
        "processed": "extract(epoch FROM processed_at - received_at)::float8",
        "finished": "extract(epoch FROM d.finished_at - o.created_at)::float8",
        "queued": "extract(epoch FROM routed_at - queued_at)::float8",
    },
    "sqlite": {
        "sha256": "lower(hex(body_sha256))",
        "dead_letter_sha256": "lower(hex(l.body_sha256))",
        "minute": r"substr(processed_at, 1, 16) || '\:00.000000'",
        "arrived": "(julianday(received_at) - julianday(occurred_at)) * 86400.0",
        "processed": "(julianday(processed_at) - julianday(received_at)) * 86400.0",
        "finished": "(julianday(d.finished_at) - julianday(o.created_at)) * 86400.0",
        "queued": "(julianday(routed_at) - julianday(queued_at)) * 86400.0",
    },
}
"""Expressions of the views that differ between the two databases."""

for _moment in ("received_at", "recorded_at", "created_at", "found_at", "began_at"):
    EXPRESSIONS["postgresql"][f"day({_moment})"] = f"({_moment} AT TIME ZONE 'UTC')::date::text"
    EXPRESSIONS["sqlite"][f"day({_moment})"] = f"substr({_moment}, 1, 10)"
for _moment in ("processed_at", "began_at"):
    EXPRESSIONS["postgresql"][f"hour({_moment})"] = (
        f"date_bin('1 hour', {_moment}, timestamptz '2000-01-01 00:00Z')"
    )
    EXPRESSIONS["sqlite"][f"hour({_moment})"] = rf"substr({_moment}, 1, 13) || '\:00\:00.000000'"

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
"""Create the trigger that plans deliveries for a new outbox row, in the transaction that writes this row.

Planning deliveries later, by reading the outbox in the order of its ids, could miss rows: a lower id may
be committed after a higher id.
"""

VIEWS = {
    "events_v1": (
        "One row per event, however often it was received",
        """
        SELECT id, idempotency_key, conversation_id, event_type, outcome, reason, occurred_at, received_at,
            processed_at, message_id, source, dialect, {sha256} AS body_sha256, times_received,
            last_repeated_at, request_id, {hour(processed_at)} AS hour
        FROM processed_events""",
    ),
    "events": (
        "Same as events_v1, for queries by hand; it may gain columns",
        """
        SELECT * FROM events_v1""",
    ),
    "dead_letters_v1": (
        "Events that cannot be processed, the reason, and the operator's decision",
        """
        SELECT l.message_id, l.code, l.reason, l.source, l.received_at, l.recorded_at, l.attempts,
            {dead_letter_sha256} AS body_sha256, i.action, i.operator, l.decided_at, l.intervention_id,
            l.event_type, l.conversation_id, l.destination, {day(recorded_at)} AS day
        FROM dead_letters l LEFT JOIN interventions i ON i.intervention_id = l.intervention_id""",
    ),
    "conversations_v1": (
        "One row per conversation, and how far it is settled",
        """
        SELECT conversation_id, status, social_channel, started_at, routing_status, routing_queue,
            routing_changed_at, event_count, message_count, first_event_at, last_event_at, settled_count,
            settled_through_at, session_opened_at, window_closes_at
        FROM conversations""",
    ),
    "event_conflicts_v1": (
        "Conflicts: events with the key of a known event but different content",
        """
        SELECT event_id, idempotency_key, {sha256} AS body_sha256, message_id, source, times_received,
            first_seen_at, last_seen_at
        FROM event_conflicts""",
    ),
    "interventions_v1": (
        "Operators' decisions about events, such as replay and discard",
        """
        SELECT intervention_id, action, operator, reason, selection, again, chosen, done, outcome, started_at,
            ended_at
        FROM interventions""",
    ),
    "outbox_v1": (
        "Events for the destinations, in order within each conversation",
        """
        SELECT id, conversation_id, event_id, event_type, occurred_at, late, verified, created_at,
            {day(created_at)} AS day
        FROM outbox""",
    ),
    "routing_updates_v1": (
        "Explicit routing transitions, and the decision on each",
        """
        SELECT event_id, conversation_id, occurred_at, sequence, received_at, routing_status, routing_queue,
            decision, platform_status, verified, decided_at, waits_since, next_attempt_at
        FROM routing_updates""",
    ),
    "deliveries_v1": (
        "Deliveries to each destination, their results, and after how many seconds each ended",
        """
        SELECT d.outbox_id, d.destination, o.event_id, d.conversation_id, o.event_type, o.occurred_at,
            o.created_at, d.due_at, d.attempts, d.first_attempt_at, d.status, d.reason, d.outcome,
            d.finished_at, {finished} AS finished_after_seconds
        FROM deliveries d JOIN outbox o ON o.id = d.outbox_id""",
    ),
    "destinations_v1": (
        "Deliveries that wait for each destination, and since when",
        """
        SELECT s.name AS destination, s.registered_at, s.paused_at, s.paused_because,
            (SELECT count(*) FROM deliveries d WHERE d.destination = s.name AND d.outcome IS NULL) AS waiting,
            (SELECT min(o.created_at) FROM deliveries d JOIN outbox o ON o.id = d.outbox_id
             WHERE d.destination = s.name AND d.outcome IS NULL) AS oldest_waiting_at
        FROM destinations s""",
    ),
    "interactions_v1": (
        "One row per interaction, for workforce reports, and how many seconds it queued",
        """
        SELECT *, {queued} AS queued_seconds, {day(began_at)} AS day
        FROM (
            SELECT c.conversation_id, c.social_channel, COALESCE(c.started_at, c.first_event_at) AS began_at,
                c.last_event_at, c.message_count AS messages, c.routing_status, c.routing_queue,
                (SELECT min(u.occurred_at) FROM routing_updates u WHERE u.conversation_id = c.conversation_id
                    AND u.decision IN ('applied', 'late') AND u.routing_status = 'CONTACT-QUEUED'
                ) AS queued_at,
                (SELECT min(u.occurred_at) FROM routing_updates u WHERE u.conversation_id = c.conversation_id
                    AND u.decision IN ('applied', 'late') AND u.routing_status = 'CONTACT-ROUTED'
                ) AS routed_at
            FROM conversations c
        ) interactions""",
    ),
    "reconciliations_v1": (
        "Comparisons with the platform's history, and what they could not compare",
        """
        SELECT id, started_by, compared_from, compared_to, conversations, compared, missing, published,
            waiting, unreadable, unread, ours, unmatched, started_at, finished_at, unlisted, passed_over,
            mismatch, decided_by
        FROM reconciliations""",
    ),
    "reconciliation_gaps_v1": (
        "Events that only the platform had, and the outcome of each",
        """
        SELECT g.idempotency_key, g.reconciliation_id, g.conversation_id, g.event_type,
            g.platform_message_id, g.occurred_at, g.found_at, g.published_at, g.message_id,
            CASE WHEN e.source = 'reconcile' THEN 'recovered' WHEN e.id IS NOT NULL THEN 'came late'
                WHEN d.message_id IS NOT NULL THEN 'dead letter' ELSE 'waiting' END AS became,
            e.processed_at, {day(found_at)} AS day
        FROM reconciliation_gaps g
            LEFT JOIN processed_events e ON e.idempotency_key = g.idempotency_key
            LEFT JOIN dead_letters d ON d.message_id = g.message_id""",
    ),
    "notification_statistics_v1": (
        "By day: events that webhooks delivered, repeated events, recovered events",
        """
        SELECT day, sum(notified) AS notified, sum(repeated) AS repeated, sum(recovered) AS recovered,
            sum(dead_letters) AS dead_letters,
            100.0 * (sum(notified) + sum(dead_letters)) / (sum(notified) + sum(dead_letters) + sum(recovered))
                AS success_percent
        FROM (
            SELECT {day(received_at)} AS day, CASE WHEN source = 'webhook' THEN 1 ELSE 0 END AS notified,
                CASE WHEN source = 'webhook' THEN times_received - 1 ELSE 0 END AS repeated,
                CASE WHEN source = 'reconcile' THEN 1 ELSE 0 END AS recovered, 0 AS dead_letters
            FROM processed_events WHERE source IN ('webhook', 'reconcile')
            UNION ALL
            SELECT {day(received_at)}, 0, 0, 0, 1
            FROM dead_letters WHERE source = 'webhook' AND destination IS NULL
        ) counted
        GROUP BY day""",
    ),
    "acknowledgement_statistics_v1": (
        "By hour: webhooks that the edge answered, how fast, and those it refused",
        """
        SELECT hour, sum(answered) AS answered, sum(within_10_ms) AS within_10_ms,
            sum(within_100_ms) AS within_100_ms, sum(within_1_s) AS within_1_s, sum(within_3_s) AS within_3_s,
            sum(within_10_s) AS within_10_s, max(longest_us) / 1000000.0 AS longest_s,
            sum(status_429) AS shed, sum(status_503) AS unavailable, sum(status_401) AS unauthorized,
            sum(status_413) AS too_large, sum(other_refusals) AS otherwise_refused
        FROM (SELECT {hour(began_at)} AS hour, edge_statistics.* FROM edge_statistics) minutes
        GROUP BY hour""",
    ),
    "messages_v1": (
        "One row per message, without its text",
        """
        SELECT event_id, conversation_id, occurred_at, sequence, received_at, position, platform_message_id,
            sender, length(text) AS characters, content IS NOT NULL AS has_content
        FROM conversation_messages""",
    ),
    "receipts_v1": (
        "Receipts of messages; one message has several",
        """
        SELECT event_id, conversation_id, platform_message_id, status, is_final, reasons, occurred_at
        FROM message_receipts""",
    ),
    "drift_v1": (
        "Names and values from the platform that this version does not know",
        """
        SELECT kind, name, event_type, sample, count, first_seen_at, last_seen_at, accepted_at, accepted_by
        FROM drift""",
    ),
    "latency_v1": (
        "One row per event: how long it took to arrive, and how long it then waited",
        """
        SELECT id, conversation_id, event_type, source, occurred_at, received_at, processed_at,
            {arrived} AS arrived_after_seconds, {processed} AS processed_after_seconds,
            {hour(processed_at)} AS hour
        FROM processed_events""",
    ),
    "throughput_v1": (
        "Events by minute of processing, type, outcome and source; restrict queries by minute",
        """
        SELECT {minute} AS minute, {hour(processed_at)} AS hour, event_type, outcome, source,
            count(*) AS events, sum(times_received) AS times_received
        FROM processed_events GROUP BY {minute}, {hour(processed_at)}, event_type, outcome, source""",
    ),
}
"""The name, comment and query of each view."""

FIND_INDEXES: dict[str, str] = {
    # `omctl find` uses these Bloom filters, one for each range of pages. Intake does not update them for each
    # row, and a search reads about one range in a hundred. The filters of a range must fit on one page of the
    # index: with ranges of 128 pages, PostgreSQL's default, two full filters make every insertion fail.
    "ix_reading_events_origin": (
        "processed_events USING brin (body_sha256 bytea_bloom_ops, request_id text_bloom_ops)"
        " WITH (pages_per_range = 32, autosummarize = on)"
    ),
    "ix_reading_messages_platform_id": (
        "conversation_messages USING brin (platform_message_id text_bloom_ops)"
        " WITH (pages_per_range = 32, autosummarize = on)"
    ),
    "ix_reading_dead_letters_body": "dead_letters (body_sha256)",
    "ix_reading_dead_letters_conversation": "dead_letters (conversation_id)",
    "ix_reading_conflicts_body": "event_conflicts (body_sha256)",
    "ix_reading_conflicts_message": "event_conflicts (message_id)",
}

READING_INDEXES = {
    "ix_reading_events_minute": ("processed_events", EXPRESSIONS["postgresql"]["minute"]),
    "ix_reading_messages_received_at": ("conversation_messages", "received_at"),
    "ix_reading_outbox_created_at": ("outbox", "created_at"),
    "ix_reading_deliveries_finished_at": ("deliveries", "finished_at"),
    "ix_reading_conversations_began_at": ("conversations", "COALESCE(started_at, first_event_at)"),
}
"""BRIN indexes for queries of database administrators, in PostgreSQL only.

migrations/env.py does not compare them with the models. They slow inserts down very little, and take a
hundredth of the space of a B-tree (docs/decisions/0250-indexes-for-readers.md).
"""

CHECKS = {
    ("processed_events", "ck_processed_events_outcome"): "outcome IN ('processed', 'skipped')",
    ("processed_events", "ck_processed_events_times_received"): "times_received >= 1",
    ("processed_events", "ck_processed_events_body_sha256"): "octet_length(body_sha256) = 32",
    ("conversations", "ck_conversations_status"): "status IN ('implied', 'started')",
    (
        "routing_updates",
        "ck_routing_updates_decision",
    ): "decision IN ('applied', 'late', 'superseded', 'undecided')",
    ("deliveries", "ck_deliveries_outcome"): "outcome IN ('delivered', 'dead', 'abandoned')",
}
"""Constraints on columns whose values this service's own code determines, in PostgreSQL only.

Values that come from an event are not constrained.
"""


def _create_processed_events() -> None:
    op.create_table(
        "processed_events",
        _column("id", ROW_ID, "Increases in the order of arrival, with gaps"),
        _column("idempotency_key", IDENTIFIER, "Equal for every copy of one event: docs/database.md"),
        _column("conversation_id", IDENTIFIER, "The platform's conversation"),
        _column(
            "event_type",
            sa.Text,
            "openmessaging:conversation:new|message|updated, openmessaging:receipt|typing",
        ),
        _column("outcome", sa.Text, "processed: took effect; skipped: recorded without effect, see reason"),
        _column("reason", sa.Text, "Why it was skipped: a stable code", nullable=True),
        _column("occurred_at", MOMENT, "The platform's clock"),
        _column("received_at", MOMENT, "When the edge had read the request"),
        _column("processed_at", MOMENT, "When the transaction that processed it began"),
        _column("message_id", IDENTIFIER, "Id of the accepted request, as in the edge's log"),
        _column("source", sa.Text, "webhook, reconcile, replay or ingest"),
        _column("dialect", sa.Text, "guide, genesys or eventbridge"),
        _column("body_sha256", sa.LargeBinary(32), "SHA-256 of the request's raw body, 32 bytes"),
        _column("times_received", sa.Integer, "Times received with this body, from 1", server_default="1"),
        _column("last_repeated_at", MOMENT, "When it was last repeated; null if never", nullable=True),
        _column(
            "request_id",
            sa.Text,
            "Id of its request, as in the gateway's log and the answer's header",
            nullable=True,
        ),
        sa.UniqueConstraint("idempotency_key", name="uq_processed_events_idempotency_key"),
        sa.PrimaryKeyConstraint("id", name="pk_processed_events"),
        comment="Each event once, kept OM_RETENTION_DAYS: the unique key decides what is new",
    )
    _index("ix_processed_events_conversation_id", "processed_events", ["conversation_id"])
    _index("ix_processed_events_processed_at", "processed_events", ["processed_at"], **BRIN)


def _create_event_payloads() -> None:
    op.create_table(
        "event_payloads",
        _column("event_id", ROW_ID, "processed_events.id"),
        _column("stored_at", MOMENT, "When it was stored, our clock; kept for OM_PAYLOAD_RETENTION_DAYS"),
        _column("body", sa.LargeBinary, "The request's raw body, byte for byte: personal data, tokens"),
        sa.PrimaryKeyConstraint("event_id", name="pk_event_payloads"),
        comment="Raw bodies as they were received; the read-only role may not read them",
    )


def _create_event_conflicts() -> None:
    op.create_table(
        "event_conflicts",
        _column("event_id", ROW_ID, "processed_events.id of the key's first event"),
        _column("body_sha256", sa.LargeBinary(32), "SHA-256 of this other body, 32 bytes"),
        _column("idempotency_key", IDENTIFIER, "The key that both events have"),
        _column("body", sa.LargeBinary, "The other body, byte for byte: personal data, tokens"),
        _column("message_id", IDENTIFIER, "Id of the accepted request that first contained it"),
        _column("source", sa.Text, "webhook, reconcile, replay or ingest"),
        _column("times_received", sa.Integer, "Times received, from 1"),
        _column("first_seen_at", MOMENT, "When it was first received, our clock"),
        _column("last_seen_at", MOMENT, "When it was last received, our clock"),
        sa.PrimaryKeyConstraint("event_id", "body_sha256", name="pk_event_conflicts"),
        comment="Conflicts: events with the key of a known event but different content",
    )


def _create_drift() -> None:
    op.create_table(
        "drift",
        _column("kind", sa.Text, "unknown_field, unknown_value or wrong_type"),
        _column("name", sa.Text, "The field's path; for values, = and the value"),
        _column("event_type", sa.Text, "Event type in which it was first seen"),
        _column("first_seen_at", MOMENT, "When it was first seen"),
        _column("last_seen_at", MOMENT, "When it was last seen; written from time to time", nullable=True),
        _column(
            "count", sa.BigInteger, "Times read, including copies and repeated attempts", server_default="1"
        ),
        _column("sample", sa.Text, "Shape of one of its values; never a customer's text", nullable=True),
        _column("accepted_at", MOMENT, "When an operator accepted it: omctl drift accept", nullable=True),
        _column("accepted_by", sa.Text, "Operator who accepted it", nullable=True),
        sa.PrimaryKeyConstraint("kind", "name", name="pk_drift"),
        comment="Names and values from the platform that this version does not know",
    )


def _create_unstored_events() -> None:
    op.create_table(
        "unstored_events",
        _column("day", MOMENT, "Start of the day in UTC, our clock"),
        _column("event_type", sa.Text, "openmessaging:typing"),
        _column("events", sa.BigInteger, "Number received, including copies"),
        sa.PrimaryKeyConstraint("day", "event_type", name="pk_unstored_events"),
        comment="Events that have no row of their own, counted by day",
    )


def _create_conversations() -> None:
    op.create_table(
        "conversations",
        _column("conversation_id", IDENTIFIER, "The platform's conversation"),
        _column("status", sa.Text, "implied: known from its events only; started: its start was notified"),
        _column("social_channel", sa.Text, "The customer's channel or the integration", nullable=True),
        _column("started_at", MOMENT, "When it started, platform's clock", nullable=True),
        _column("routing_status", sa.Text, "CONTACT-QUEUED or CONTACT-ROUTED (newest update)", nullable=True),
        _column("routing_queue", sa.Text, "The newest update's routing queue", nullable=True),
        _column("routing_changed_at", MOMENT, "Time of the newest update, platform's clock", nullable=True),
        _column("routing_sequence", sa.BigInteger, "The newest update's sequence number, 0 for none"),
        _column("event_count", sa.Integer, "Events claimed; incremented, so a repeated effect would show"),
        _column("message_count", sa.Integer, "Messages claimed; also incremented"),
        _column("first_event_at", MOMENT, "Oldest event, platform's clock"),
        _column("last_event_at", MOMENT, "Newest event, platform's clock"),
        _column("window_opened_at", MOMENT, "First unsettled event's arrival, our clock", nullable=True),
        _column("window_closes_at", MOMENT, "When the window may be settled, our clock", nullable=True),
        _column("window_limit_at", MOMENT, "Latest value of window_closes_at", nullable=True),
        _column("window_from_at", MOMENT, "Oldest event of the window, platform's clock", nullable=True),
        _column("settled_count", sa.Integer, "How many of event_count are settled", server_default="0"),
        _column("settled_through_at", MOMENT, "Newest event settled, platform's clock", nullable=True),
        _column(
            "settled_through_sequence",
            sa.BigInteger,
            "Its sequence number, 0 for none",
            server_default="0",
        ),
        _column("session_opened_at", MOMENT, "When its session entered the outbox, our clock", nullable=True),
        _column("unsettled_because", sa.Text, "Why settling failed; null if it did not", nullable=True),
        _column("updated_at", MOMENT, "Last change of this row, our clock"),
        sa.PrimaryKeyConstraint("conversation_id", name="pk_conversations"),
        comment="One row per conversation; rows are locked in the order of conversation_id",
    )
    _index(
        "ix_conversations_window_opened_at",
        "conversations",
        ["window_opened_at"],
        where="window_opened_at IS NOT NULL",
    )
    _index(
        "ix_conversations_unsettled",
        "conversations",
        ["conversation_id"],
        where="unsettled_because IS NOT NULL",
    )


def _create_conversation_messages() -> None:
    op.create_table(
        "conversation_messages",
        _column("event_id", ROW_ID, "processed_events.id"),
        _column("conversation_id", IDENTIFIER, "The platform's conversation"),
        _column("occurred_at", MOMENT, "First sort key: the platform's clock"),
        _column("sequence", sa.BigInteger, "Second sort key: the platform's sequence number, 0 for none"),
        _column("received_at", MOMENT, "Third sort key: arrival"),
        _column("position", sa.Integer, "Its number in the conversation, by commit", server_default="0"),
        _column("platform_message_id", sa.Text, "The platform's message id", nullable=True),
        _column("sender", sa.Text, "inbound, outbound, human or bot; null if unknown", nullable=True),
        _column("text", sa.Text, "Text of the message: personal data", nullable=True),
        _column("content", sa.Text, "Structured parts as JSON: personal data", nullable=True),
        sa.PrimaryKeyConstraint("event_id", name="pk_conversation_messages"),
        comment="Messages in the order of occurred_at, sequence, received_at, event_id",
    )
    _index(
        "ix_conversation_messages_conversation_id",
        "conversation_messages",
        ["conversation_id", "occurred_at", "sequence"],
    )


def _create_message_receipts() -> None:
    op.create_table(
        "message_receipts",
        _column("event_id", ROW_ID, "processed_events.id"),
        _column("conversation_id", IDENTIFIER, "The platform's conversation"),
        _column("platform_message_id", IDENTIFIER, "The platform's id of the message", nullable=True),
        _column(
            "status", sa.Text, "Sent, Delivered, Read, Failed, Published, Removed or newer", nullable=True
        ),
        _column("is_final", sa.Boolean, "Whether no further receipt follows", nullable=True),
        _column("reasons", sa.Text, "Why it failed: a JSON list of code and message", nullable=True),
        _column("occurred_at", MOMENT, "The platform's clock"),
        sa.PrimaryKeyConstraint("event_id", name="pk_message_receipts"),
        comment="Receipts of messages; one message has several",
    )
    _index("ix_message_receipts_platform_message_id", "message_receipts", ["platform_message_id"])


def _create_routing_updates() -> None:
    op.create_table(
        "routing_updates",
        _column("event_id", ROW_ID, "processed_events.id"),
        _column("conversation_id", IDENTIFIER, "The platform's conversation"),
        _column("occurred_at", MOMENT, "The platform's clock"),
        _column("sequence", sa.BigInteger, "The platform's sequence number, 0 for none"),
        _column("received_at", MOMENT, "Arrival"),
        _column("routing_status", sa.Text, "Notified status: CONTACT-QUEUED or CONTACT-ROUTED"),
        _column("routing_queue", sa.Text, "Notified routing queue", nullable=True),
        _column(
            "decision",
            sa.Text,
            "applied, late (a newer one was applied), superseded or undecided",
            nullable=True,
        ),
        _column("platform_status", sa.Text, "The platform's state when it was queried", nullable=True),
        _column(
            "verified", sa.Boolean, "Whether the platform agreed; null if it gave no answer", nullable=True
        ),
        _column("decided_at", MOMENT, "Database's clock; null while it waits", nullable=True),
        _column("waits_since", MOMENT, "When intake claimed it, database's clock"),
        _column("next_attempt_at", MOMENT, "When to query; null once answered or decided", nullable=True),
        sa.PrimaryKeyConstraint("event_id", name="pk_routing_updates"),
        comment="Explicit routing transitions, and the decision on each",
    )
    _index("ix_routing_updates_conversation_id", "routing_updates", ["conversation_id"])
    waits = ["waits_since", "next_attempt_at"]
    _index("ix_routing_updates_waiting", "routing_updates", waits, where="decision IS NULL")


def _create_dead_letters() -> None:
    op.create_table(
        "dead_letters",
        _column("message_id", IDENTIFIER, "Id of the accepted request; body_sha256 if it had no id"),
        _column("code", sa.Text, "What is wrong: a stable code, listed in docs/database.md"),
        _column("reason", sa.Text, "What is wrong; names the field, never its value"),
        _column("body_sha256", sa.LargeBinary(32), "SHA-256 of the raw body, 32 bytes"),
        _column("source", sa.Text, "webhook, reconcile, replay or ingest"),
        _column("received_at", MOMENT, "When the edge had read the request"),
        _column("recorded_at", MOMENT, "When it was first dead-lettered"),
        _column("attempts", sa.Integer, "Number of its deliveries until then, from 1"),
        _column(
            "intervention_id",
            IDENTIFIER,
            "What an operator decided: interventions.intervention_id",
            nullable=True,
        ),
        _column("decided_at", MOMENT, "When the decision was carried out; null while open", nullable=True),
        _column(
            "idempotency_key", IDENTIFIER, "Key of its event; null if it could not be read", nullable=True
        ),
        _column("event_type", sa.Text, "Type of the event; null if the body has none", nullable=True),
        _column("conversation_id", IDENTIFIER, "The conversation; null if the body has none", nullable=True),
        _column(
            "destination",
            IDENTIFIER,
            "Where delivery failed; null: intake could not process it",
            nullable=True,
        ),
        sa.PrimaryKeyConstraint("message_id", name="pk_dead_letters"),
        comment="Why an event is in the dead-letter queue; only the queue has its body",
    )
    _index("ix_dead_letters_recorded_at", "dead_letters", ["recorded_at"], **BRIN)
    _index("ix_dead_letters_open", "dead_letters", ["code", "recorded_at"], where="decided_at IS NULL")
    _index(
        "ix_dead_letters_oldest", "dead_letters", ["recorded_at", "message_id"], where="decided_at IS NULL"
    )
    _index("ix_dead_letters_idempotency_key", "dead_letters", ["idempotency_key"])


def _create_suspects() -> None:
    op.create_table(
        "suspects",
        _column("message_id", IDENTIFIER, "A delivery whose worker ended before settling it, more than once"),
        _column("attempts", sa.Integer, "Attempts begun alone and not finished"),
        _column("attempted_at", MOMENT, "When the last attempt began"),
        sa.PrimaryKeyConstraint("message_id", name="pk_suspects"),
        comment="Marks set before a suspect is tried; one that remains shows that its worker ended",
    )


def _create_interventions() -> None:
    op.create_table(
        "interventions",
        _column("intervention_id", IDENTIFIER, "Random id"),
        _column("action", sa.Text, "Kind of decision; docs/omctl.md describes the commands"),
        _column("operator", sa.Text, "The operating system's user and host"),
        _column("reason", sa.Text, "The operator's reason"),
        _column("selection", sa.Text, "Selection as JSON: filters and the cut-off, no content"),
        _column("again", sa.Boolean, "Whether events that took effect were to take effect again"),
        _column("chosen", sa.BigInteger, "Number of events or dead letters selected"),
        _column("done", sa.BigInteger, "Number of these that are done", server_default="0"),
        _column(
            "through", ROW_ID, "For replay-events: processed_events.id of the last event done", nullable=True
        ),
        _column(
            "outcome", sa.Text, "done or cancelled; null while it runs, or if it was killed", nullable=True
        ),
        _column("started_at", MOMENT, "When it started, our clock"),
        _column("ended_at", MOMENT, "When it ended, our clock", nullable=True),
        sa.PrimaryKeyConstraint("intervention_id", name="pk_interventions"),
        comment="Operators' decisions about events and dead letters, with operator and reason",
    )


def _create_discarded_dead_letters() -> None:
    op.create_table(
        "discarded_dead_letters",
        _column("id", ROW_ID, "Increases with time, with gaps"),
        _column("message_id", IDENTIFIER, "dead_letters.message_id"),
        _column("intervention_id", IDENTIFIER, "interventions.intervention_id"),
        _column("discarded_at", MOMENT, "When it was stored, our clock; kept for OM_PAYLOAD_RETENTION_DAYS"),
        _column("body", sa.LargeBinary, "The raw body, byte for byte: personal data, tokens"),
        sa.PrimaryKeyConstraint("id", name="pk_discarded_dead_letters"),
        comment="Bodies of dead letters that an operator discarded, in case it was a mistake",
    )


def _create_outbox() -> None:
    op.create_table(
        "outbox",
        _column("id", ROW_ID, "Increases in the order of each conversation's events, with gaps"),
        _column("conversation_id", IDENTIFIER, "The platform's conversation"),
        _column("event_id", ROW_ID, "processed_events.id; null if no start was notified", nullable=True),
        _column("event_type", sa.Text, "Type of the event that destinations receive"),
        _column("occurred_at", MOMENT, "The platform's clock"),
        _column("late", sa.Boolean, "Whether a newer event of its conversation was settled before it"),
        _column(
            "verified", sa.Boolean, "Whether the platform agreed; null if it was not queried", nullable=True
        ),
        _column("created_at", MOMENT, "When it was settled, our clock"),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
        comment="Events for the destinations, in order within each conversation",
    )
    _index("ix_outbox_conversation_id", "outbox", ["conversation_id", "id"])


def _create_request_budgets() -> None:
    op.create_table(
        "request_budgets",
        _column("name", IDENTIFIER, "Whose limit: the OAuth client's id"),
        _column(
            "paid_at_us", sa.BigInteger, "When all requests so far are paid for, microseconds since the epoch"
        ),
        _column(
            "background_paid_at_us", sa.BigInteger, "When reconcile's tenth of the limit permits a request"
        ),
        sa.PrimaryKeyConstraint("name", name="pk_request_budgets"),
        comment="How much of the platform's request limit is used, one row for all hosts",
    )


def _create_destinations() -> None:
    op.create_table(
        "destinations",
        _column("name", IDENTIFIER, "As in OM_DESTINATIONS"),
        _column("registered_at", MOMENT, "It receives events settled since then, our clock"),
        _column("paused_at", MOMENT, "When it was paused; null if it is not paused", nullable=True),
        _column("paused_because", sa.Text, "operator, or gone if it answered 410", nullable=True),
        sa.PrimaryKeyConstraint("name", name="pk_destinations"),
        comment="The services that receive events, from the destinations files of all hosts",
    )


def _create_subscriptions() -> None:
    op.create_table(
        "subscriptions",
        _column("event_type", sa.Text, "An event type of the outbox"),
        _column("destination", IDENTIFIER, "Destination that receives it: destinations.name"),
        sa.PrimaryKeyConstraint("event_type", "destination", name="pk_subscriptions"),
        comment="The destinations for which the trigger outbox_plans_deliveries plans deliveries",
    )


def _create_deliveries() -> None:
    op.create_table(
        "deliveries",
        _column("outbox_id", ROW_ID, "outbox.id"),
        _column("destination", IDENTIFIER, "destinations.name"),
        _column("conversation_id", IDENTIFIER, "The platform's conversation"),
        _column("due_at", MOMENT, "When it is due; while tried, the lease's end; 9999: waits behind another"),
        _column(
            "attempts", sa.Integer, "Attempts that failed, except those at a destination known to be down"
        ),
        _column("first_attempt_at", MOMENT, "When the first attempt failed, our clock", nullable=True),
        _column("refused_at", MOMENT, "Since when 401, 403, 404, 405 or 407 is answered", nullable=True),
        _column("status", sa.Integer, "HTTP status of the last answer", nullable=True),
        _column("reason", sa.Text, "Short reason of the last failed attempt", nullable=True),
        _column(
            "outcome",
            sa.Text,
            "delivered; dead: given up; abandoned: by an operator or for its age; null: waits",
            nullable=True,
        ),
        _column("finished_at", MOMENT, "When it was delivered or given up, our clock", nullable=True),
        _column("dead_lettered_at", MOMENT, "When the dead letter was published", nullable=True),
        sa.PrimaryKeyConstraint("outbox_id", "destination", name="pk_deliveries"),
        comment="One row for each outbox row and destination; the trigger outbox_plans_deliveries inserts it",
    )
    _index("ix_deliveries_due", "deliveries", ["destination", "due_at"], where="outcome IS NULL")
    _index(
        "ix_deliveries_order",
        "deliveries",
        ["destination", "conversation_id", "outbox_id"],
        where="outcome IS NULL",
    )
    _index(
        "ix_deliveries_unpublished",
        "deliveries",
        ["outbox_id"],
        where="outcome = 'dead' AND dead_lettered_at IS NULL",
    )


def _create_failed_receipts() -> None:
    op.create_table(
        "failed_receipts",
        _column("event_id", ROW_ID, "processed_events.id of the message"),
        _column("destination", IDENTIFIER, "The destination that gave it up first"),
        _column("status", sa.Integer, "HTTP status of the destination's last answer", nullable=True),
        _column("reason", sa.Text, "Short reason of the destination's last failed attempt", nullable=True),
        _column("due_at", MOMENT, "Not to be attempted before this time"),
        _column("attempts", sa.Integer, "Number of attempts begun"),
        _column("begun_at", MOMENT, "When the current request began, our clock", nullable=True),
        _column("outcome", sa.Text, "sent, refused, unknown or gone; null while it waits", nullable=True),
        _column("problem", sa.Text, "Short reason of the platform's last refusal", nullable=True),
        _column("finished_at", MOMENT, "When it ended, our clock", nullable=True),
        sa.PrimaryKeyConstraint("event_id", name="pk_failed_receipts"),
        comment="Messages that were given up; the agent gets one Failed receipt for each",
    )
    _index("ix_failed_receipts_due", "failed_receipts", ["due_at"], where="outcome IS NULL")


def _create_reconciliations() -> None:
    op.create_table(
        "reconciliations",
        _column("id", ROW_ID, "Increases with time, with gaps"),
        _column("started_by", sa.Text, "timer, or the operator at the command line"),
        _column("compared_from", MOMENT, "Start of the compared time, platform's clock"),
        _column("compared_to", MOMENT, "End of the compared time; the next comparison continues from here"),
        _column(
            "page",
            sa.Integer,
            "Next page of the platform's list of conversations; null if all are listed",
            nullable=True,
        ),
        _column("conversations", sa.Integer, "Conversations that were read", server_default="0"),
        _column("compared", sa.Integer, "Messages and receipts that were compared", server_default="0"),
        _column(
            "missing", sa.Integer, "How many of these no webhook delivered: new gaps", server_default="0"
        ),
        _column("published", sa.Integer, "Gaps that were published to the events' queue", server_default="0"),
        _column(
            "waiting",
            sa.Integer,
            "Gaps of earlier comparisons that are not processed yet",
            server_default="0",
        ),
        _column(
            "unreadable",
            sa.Integer,
            "Events of the history that could not be compared or recorded",
            server_default="0",
        ),
        _column(
            "unread", sa.Integer, "Conversations of which only the counts were compared", server_default="0"
        ),
        _column("ours", sa.Integer, "Webhook events that were looked up in the history", server_default="0"),
        _column("unmatched", sa.Integer, "How many of these the history lacks", server_default="0"),
        _column(
            "mismatch", sa.Text, "Why nothing more was published; null if our events match", nullable=True
        ),
        _column(
            "decided_by", sa.Text, "Operator who decided about the mismatch; null if none has", nullable=True
        ),
        _column("started_at", MOMENT, "When it started, database's clock"),
        _column(
            "finished_at",
            MOMENT,
            "When it finished, database's clock; null: under way, or killed",
            nullable=True,
        ),
        _column("held_by", sa.Text, "Process that runs the comparison"),
        _column("held_until", MOMENT, "When another process may take over, database's clock"),
        _column(
            "unlisted",
            sa.Text,
            "Why the platform listed no conversations (unknown ones are not compared); null if it did",
            nullable=True,
        ),
        _column(
            "passed_over",
            sa.Integer,
            "Conversations that were not compared: refused, unanswered, or failed",
            server_default="0",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_reconciliations"),
        comment="Comparisons with the platform's history: the time compared, counts and gaps",
    )
    _index(
        "ix_reconciliations_under_way",
        "reconciliations",
        ["started_by"],
        where="finished_at IS NULL AND started_by = 'timer'",
        unique=True,
    )
    _index(
        "ix_reconciliations_undecided",
        "reconciliations",
        ["id"],
        where="mismatch IS NOT NULL AND decided_by IS NULL",
    )


def _create_reconciliation_gaps() -> None:
    op.create_table(
        "reconciliation_gaps",
        _column("idempotency_key", IDENTIFIER, "The event's key, as later in processed_events"),
        _column("reconciliation_id", ROW_ID, "reconciliations.id of the comparison that found it"),
        _column("conversation_id", IDENTIFIER, "The platform's conversation"),
        _column("event_type", sa.Text, "Type of the missing event"),
        _column(
            "platform_message_id", IDENTIFIER, "The platform's id of the message or of the receipt's message"
        ),
        _column("occurred_at", MOMENT, "The platform's clock"),
        _column("found_at", MOMENT, "When it was found, our clock"),
        _column("published_at", MOMENT, "When the broker confirmed the copy, our clock"),
        _column("message_id", IDENTIFIER, "Id of the copy, as in processed_events and dead_letters"),
        sa.PrimaryKeyConstraint("idempotency_key", name="pk_reconciliation_gaps"),
        comment="Events that only the platform had; reconciliation_gaps_v1 shows the outcome",
    )


def _create_platform_conversations() -> None:
    op.create_table(
        "platform_conversations",
        _column("conversation_id", IDENTIFIER, "The platform's conversation"),
        _column(
            "state",
            sa.Text,
            "open; over: ended, and only its counts were compared; ended: compared to its end; unknown: the"
            " platform has no such conversation",
        ),
        _column("listed_at", MOMENT, "When its last event arrived here, or when it was first listed"),
        _column("counted_at", MOMENT, "When its messages were last counted, our clock", nullable=True),
        _column("differs", sa.Boolean, "Whether the counts differed then", server_default=sa.true()),
        _column("messages", sa.Integer, "Number of messages when it was last read", nullable=True),
        _column("read_at", MOMENT, "When it was last read, our clock", nullable=True),
        _column(
            "fingerprint", sa.Text, "Digest of its messages; if equal, nothing is compared", nullable=True
        ),
        sa.PrimaryKeyConstraint("conversation_id", name="pk_platform_conversations"),
        comment="How far each conversation has been compared with the platform's history",
    )
    _index(
        "ix_platform_conversations_unread",
        "platform_conversations",
        ["differs", "read_at", "listed_at"],
        where="state IN ('open', 'over')",
    )


def _create_edge_statistics() -> None:
    op.create_table(
        "edge_statistics",
        _column("process", IDENTIFIER, "Host and process id"),
        _column("began_at", MOMENT, "When the interval began, the database's clock"),
        _column("edge", IDENTIFIER, "The host"),
        _column("duration_us", sa.BigInteger, "Length of the interval in microseconds, usually a minute"),
        _column("answered", sa.Integer, "Webhooks answered 200"),
        _column("within_10_ms", sa.Integer, "Answered within 10 ms of the last byte received"),
        _column("within_100_ms", sa.Integer, "Answered within 100 ms"),
        _column("within_1_s", sa.Integer, "Answered within 1 s"),
        _column("within_3_s", sa.Integer, "Answered within 3 s, the guide's limit"),
        _column("within_10_s", sa.Integer, "Answered within 10 s, the platform's timeout"),
        _column(
            "longest_us", sa.BigInteger, "Longest time to an answer in the last two minutes, in microseconds"
        ),
        _column("status_401", sa.Integer, "Refused: signature or header"),
        _column("status_413", sa.Integer, "Refused: too large"),
        _column("status_429", sa.Integer, "Refused: the queue is too deep"),
        _column("status_503", sa.Integer, "Refused: the journal is full or cannot be written"),
        _column("other_refusals", sa.Integer, "Refused with another status"),
        sa.PrimaryKeyConstraint("process", "began_at", name="pk_edge_statistics"),
        comment="What each edge process answered, minute by minute; a minute without requests has no row",
    )
    _index("ix_edge_statistics_began_at", "edge_statistics", ["began_at"])


def _create_worker_reports() -> None:
    op.create_table(
        "worker_reports",
        _column("role", IDENTIFIER, "intake, settle, deliver or reconcile"),
        _column("worker", IDENTIFIER, "Host and name of the process"),
        _column("started_at", MOMENT, "When the process began, our clock; its counts begin with it"),
        _column("reported_at", MOMENT, "When it last reported, our clock; every ten seconds"),
        _column("figures", sa.Text, "Its counts as JSON: by name, or by name and destination"),
        sa.PrimaryKeyConstraint("role", "worker", name="pk_worker_reports"),
        comment="Running workers and their counts; a worker that stops deletes its row",
    )


def _create_canaries() -> None:
    op.create_table(
        "canaries",
        _column("sender", IDENTIFIER, "Host whose om-observe sends a canary every minute"),
        _column(
            "sent_at_us", sa.BigInteger, "When that canary was sent, in microseconds, by the sender's clock"
        ),
        _column("arrived_at", MOMENT, "When it arrived here, database's clock"),
        _column("arrivals", sa.Integer, "Canaries that arrived; no other table or count includes them"),
        sa.PrimaryKeyConstraint("sender", name="pk_canaries"),
        comment="The newest canary that passed through the whole service, one row per sender",
    )


def upgrade() -> None:
    dialect = op.get_bind().dialect.name
    _create_processed_events()
    _create_event_payloads()
    _create_event_conflicts()
    _create_drift()
    _create_unstored_events()
    _create_conversations()
    _create_conversation_messages()
    _create_message_receipts()
    _create_routing_updates()
    _create_dead_letters()
    _create_suspects()
    _create_interventions()
    _create_discarded_dead_letters()
    _create_outbox()
    _create_request_budgets()
    _create_destinations()
    _create_subscriptions()
    _create_deliveries()
    _create_failed_receipts()
    _create_reconciliations()
    _create_reconciliation_gaps()
    _create_platform_conversations()
    _create_edge_statistics()
    _create_worker_reports()
    _create_canaries()
    for statement in TRIGGERS[dialect]:
        op.execute(statement)
    for name, (comment, query) in VIEWS.items():
        op.execute(f"CREATE VIEW {name} AS {query.format(**EXPRESSIONS[dialect])}")
        if dialect == "postgresql":
            op.execute(f"COMMENT ON VIEW {name} IS '{comment.replace(chr(39), chr(39) * 2)}'")
    if dialect == "postgresql":
        op.create_index("ix_reading_events_message_id", "processed_events", ["message_id"])
        for name, (table, expression) in READING_INDEXES.items():
            op.create_index(name, table, [sa.text(f"({expression})")], **BRIN)
        for name, target in FIND_INDEXES.items():
            op.execute(f"CREATE INDEX {name} ON {target}")
        for (table, name), condition in CHECKS.items():
            op.create_check_constraint(name, table, condition)


def downgrade() -> None:
    for name in reversed(VIEWS):
        op.execute(f"DROP VIEW {name}")
    for table in TABLES:
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION plan_deliveries()")


def _column(name: str, kind: Any, comment: str, *, nullable: bool = False, **others: Any) -> sa.Column[Any]:
    # Only the column `id` is filled from a sequence; an event_id is the id of an existing row.
    return sa.Column(name, kind, comment=comment, nullable=nullable, autoincrement=name == "id", **others)


def _index(name: str, table: str, columns: list[str], where: str | None = None, **others: Any) -> None:
    condition = sa.text(where) if where else None
    op.create_index(name, table, columns, postgresql_where=condition, sqlite_where=condition, **others)
