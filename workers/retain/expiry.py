"""Decide what has been kept long enough."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from workers.parsing import moment_of
from workers.tables import KEPT_CONFLICTS, KEPT_PAYLOADS

if TYPE_CHECKING:
    from datetime import datetime

    from workers.tables import Kept

BATCH_ROWS: Final = 1000
"""Rows of one transaction: locks are held for milliseconds, and workers on SQLite have their turn between."""


@dataclass(frozen=True, slots=True)
class Expiry:
    """Rows that may go.

    Args:
        kept: Which.
        older_than: From when back.
    """

    kept: Kept
    older_than: datetime


def expiries(now_us: int, payload_days: int) -> tuple[Expiry, ...]:
    """Return what may go now."""
    older_than = moment_of(now_us) - timedelta(days=payload_days)
    return tuple(Expiry(kept, older_than) for kept in (KEPT_PAYLOADS, KEPT_CONFLICTS))
