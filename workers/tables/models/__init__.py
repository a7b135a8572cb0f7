"""Name the tables, for Alembic's comparison and for whoever queries them from Python.

What each column means stands beside it and in the database itself; docs/database.md is for people.
"""

from workers.tables.models.answering import edge_statistics
from workers.tables.models.columns import Digest, UtcDateTime, metadata
from workers.tables.models.conversations import (
    conversation_messages,
    conversations,
    message_receipts,
    routing_updates,
)
from workers.tables.models.delivering import (
    deliveries,
    destinations,
    failed_receipts,
    subscriptions,
)
from workers.tables.models.events import (
    drift,
    duplicate_events,
    event_payloads,
    processed_events,
    unstored_events,
)
from workers.tables.models.interventions import discarded_letters, interventions
from workers.tables.models.outgoing import outbox, request_budgets
from workers.tables.models.reconciling import (
    platform_conversations,
    reconciliation_gaps,
    reconciliations,
)
from workers.tables.models.refusals import dead_letters, suspects
from workers.tables.models.reporting import worker_reports

__all__ = [
    "Digest",
    "UtcDateTime",
    "conversation_messages",
    "conversations",
    "dead_letters",
    "deliveries",
    "destinations",
    "discarded_letters",
    "drift",
    "duplicate_events",
    "edge_statistics",
    "event_payloads",
    "failed_receipts",
    "interventions",
    "message_receipts",
    "metadata",
    "outbox",
    "platform_conversations",
    "processed_events",
    "reconciliation_gaps",
    "reconciliations",
    "request_budgets",
    "routing_updates",
    "subscriptions",
    "suspects",
    "unstored_events",
    "worker_reports",
]
