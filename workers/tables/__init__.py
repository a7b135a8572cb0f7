"""Hold every table and every statement of the workers."""

from workers.tables.claims import claim, mark_skipped
from workers.tables.database import engine_of, is_committable, transact
from workers.tables.dead_letter_records import DeadLetter, record_dead_letters
from workers.tables.drift_records import record_drift
from workers.tables.entering import enter_conversations
from workers.tables.faults import QUERY_CANCELED, is_outage, name_of, sqlstate_of, translated
from workers.tables.models import (
    conversation_messages,
    conversations,
    dead_letters,
    deliveries,
    destinations,
    drift,
    duplicate_events,
    event_payloads,
    message_receipts,
    metadata,
    outbox,
    processed_events,
    request_budgets,
    routing_updates,
    subscriptions,
    suspects,
)
from workers.tables.open_connections import OpenConnections
from workers.tables.outbox_entries import put_in_outbox
from workers.tables.payloads import keep_payloads
from workers.tables.retention import KEPT_CONFLICTS, KEPT_PAYLOADS, RETENTION_SESSION, Kept
from workers.tables.rowset import (
    BOOLEAN,
    BYTES,
    DIGEST,
    INTEGER,
    MOMENT,
    TEXT,
    RowStatement,
    insert_into,
    kinds_of,
)
from workers.tables.suspect_marks import KILLS, Suspects, has_hung_alone, is_suspect
from workers.tables.window import WindowBounds

__all__ = [
    "BOOLEAN",
    "BYTES",
    "DIGEST",
    "INTEGER",
    "KEPT_CONFLICTS",
    "KEPT_PAYLOADS",
    "KILLS",
    "MOMENT",
    "QUERY_CANCELED",
    "RETENTION_SESSION",
    "TEXT",
    "DeadLetter",
    "Kept",
    "OpenConnections",
    "RowStatement",
    "Suspects",
    "WindowBounds",
    "claim",
    "conversation_messages",
    "conversations",
    "dead_letters",
    "deliveries",
    "destinations",
    "drift",
    "duplicate_events",
    "engine_of",
    "enter_conversations",
    "event_payloads",
    "has_hung_alone",
    "insert_into",
    "is_committable",
    "is_outage",
    "is_suspect",
    "keep_payloads",
    "kinds_of",
    "mark_skipped",
    "message_receipts",
    "metadata",
    "name_of",
    "outbox",
    "processed_events",
    "put_in_outbox",
    "record_dead_letters",
    "record_drift",
    "request_budgets",
    "routing_updates",
    "sqlstate_of",
    "subscriptions",
    "suspects",
    "transact",
    "translated",
]
