"""Decide what has been kept long enough."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from workers.db.retention import (
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
from workers.parsing import moment_of

if TYPE_CHECKING:
    from datetime import datetime

    from workers.db.retention import Kept

BATCH_ROWS: Final = 1000
"""Rows of one transaction: locks are held for milliseconds, and workers on SQLite have their turn between."""

KEPT_AS_BODIES: Final = (KEPT_PAYLOADS, KEPT_CONFLICTS, KEPT_DISCARDED)
KEPT_AS_EVENTS: Final = (
    # Events go when the outbox names them no more.
    KEPT_OUTBOX,
    KEPT_EVENTS,
    KEPT_CONVERSATIONS,
    KEPT_PLATFORM_CONVERSATIONS,
    KEPT_GAPS,
    KEPT_RECONCILIATIONS,
    KEPT_UNSTORED,
    KEPT_EDGE_STATISTICS,
)


@dataclass(frozen=True, slots=True)
class Expiry:
    """Rows that may go.

    Args:
        kept: Which.
        older_than: From when back.
    """

    kept: Kept
    older_than: datetime


def expiries(now_us: int, *, payload_days: int, event_days: int) -> tuple[Expiry, ...]:
    """Return what may go now.

    Args:
        now_us: The present, microseconds since the epoch.
        payload_days: How long raw bodies are kept; they go with their event at the latest.
        event_days: How long events and all that hangs on them are kept.
    """
    now = moment_of(now_us)
    bodies = [Expiry(kept, now - timedelta(days=payload_days)) for kept in KEPT_AS_BODIES]
    return (*bodies, *(Expiry(kept, now - timedelta(days=event_days)) for kept in KEPT_AS_EVENTS))
