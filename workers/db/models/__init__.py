"""Name the tables, for Alembic's comparison and for whoever queries them from Python.

What each column means stands beside it and in the database itself; docs/database.md is for people.
"""

from workers.db.models.answering import edge_statistics
from workers.db.models.columns import Digest, UtcDateTime, metadata
from workers.db.models.conversation_tables import (
    conversation_messages,
    conversations,
    message_receipts,
    routing_updates,
)
from workers.db.models.delivering import (
    deliveries,
    destinations,
    failed_receipts,
    subscriptions,
)
from workers.db.models.events import (
    drift,
    duplicate_events,
    event_payloads,
    processed_events,
    unstored_events,
)
from workers.db.models.intervention_tables import discarded_letters, interventions
from workers.db.models.outgoing import outbox, request_budgets
from workers.db.models.reconciling import (
    platform_conversations,
    reconciliation_gaps,
    reconciliations,
)
from workers.db.models.refusals import dead_letters, suspects
from workers.db.models.reporting import worker_reports

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
