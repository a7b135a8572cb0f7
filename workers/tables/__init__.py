"""Hold every table and every statement of the workers."""

from workers.tables import models
from workers.tables.conversations import enter_conversations
from workers.tables.database import engine_of, is_committable, transact
from workers.tables.dead_letters import DeadLetter, record_dead_letters
from workers.tables.drift import record_drift
from workers.tables.event_payloads import keep_payloads
from workers.tables.faults import QUERY_CANCELED, is_outage, name_of, sqlstate_of, translated
from workers.tables.models import metadata
from workers.tables.open_connections import OpenConnections
from workers.tables.outbox import put_in_outbox
from workers.tables.processed_events import claim, mark_skipped
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
from workers.tables.suspects import KILLS, Suspects, has_hung_alone, is_suspect
from workers.tables.window import WindowBounds

# Bound after the imports: a module of the same name would take the place of its table.
conversation_messages = models.conversation_messages
conversations = models.conversations
dead_letters = models.dead_letters
drift = models.drift
duplicate_events = models.duplicate_events
event_payloads = models.event_payloads
message_receipts = models.message_receipts
outbox = models.outbox
processed_events = models.processed_events
request_budgets = models.request_budgets
routing_updates = models.routing_updates
suspects = models.suspects

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
    "suspects",
    "transact",
    "translated",
]
