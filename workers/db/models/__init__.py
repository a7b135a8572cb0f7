"""Define every table once, for Alembic and for SQL statements; comments explain the columns."""

from workers.db.models.columns import Digest, UtcDateTime, metadata
from workers.db.models.conversation_tables import (
    conversation_messages,
    conversations,
    deliveries,
    destinations,
    failed_receipts,
    message_receipts,
    outbox,
    routing_updates,
    subscriptions,
)
from workers.db.models.events import (
    dead_letters,
    drift,
    event_conflicts,
    event_payloads,
    processed_events,
    suspects,
    unstored_events,
)
from workers.db.models.operations import (
    canaries,
    discarded_dead_letters,
    edge_statistics,
    interventions,
    platform_conversations,
    reconciliation_gaps,
    reconciliations,
    request_budgets,
    worker_reports,
)
