"""Say what a handler is.

A handler takes the transaction's connection, the new events of its type in their order within each
conversation, and the present; it works by SQL alone, since whatever else it did would not be undone
with the transaction. It returns why events had no effect, by event id, and raises nothing for those.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from workers.parsing import ClaimedEvent

Skips: TypeAlias = dict[int, str]
"""`processed_events.id` of each event without effect, and the reason as one stable word."""

Handler: TypeAlias = Callable[["Connection", Sequence["ClaimedEvent"], int], Skips]
"""What workers/intake/dispatch.py calls: (connection, events, now in microseconds since the epoch)."""
