"""Keep what was answered 200: each event's raw body, byte for byte."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from workers.db.engine import insert_into
from workers.db.models import event_payloads

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

    from workers.parsing import ClaimedEvent

_KEEP: Final = insert_into(event_payloads, ("event_id", "stored_at", "body"))


def keep_payloads(connection: Connection, claimed: Iterable[ClaimedEvent], now_us: int) -> None:
    """Store the bodies of new events in the transaction that claims them."""
    _KEEP.execute(connection, [(each.event_id, now_us, each.arrival.body) for each in claimed])
