"""Say how long rows are kept, and delete those that are older."""

from workers.db.retention.kept import (
    KEPT_CONFLICTS,
    KEPT_CONVERSATIONS,
    KEPT_DISCARDED,
    KEPT_EDGE_STATISTICS,
    KEPT_EVENTS,
    KEPT_GAPS,
    KEPT_OUTBOX,
    KEPT_PAYLOADS,
    KEPT_PLATFORM_CONVERSATIONS,
    KEPT_RECONCILIATIONS,
    KEPT_UNSTORED,
)
from workers.db.retention.pages import RETENTION_SESSION, START, Kept, Page

__all__ = [
    "KEPT_CONFLICTS",
    "KEPT_CONVERSATIONS",
    "KEPT_DISCARDED",
    "KEPT_EDGE_STATISTICS",
    "KEPT_EVENTS",
    "KEPT_GAPS",
    "KEPT_OUTBOX",
    "KEPT_PAYLOADS",
    "KEPT_PLATFORM_CONVERSATIONS",
    "KEPT_RECONCILIATIONS",
    "KEPT_UNSTORED",
    "RETENTION_SESSION",
    "START",
    "Kept",
    "Page",
]
