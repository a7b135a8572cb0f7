"""Put on record what the platform sent that this version does not know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from workers.tables.models import drift as drift_table
from workers.tables.rowset import insert_into

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from workers.parsing import Drift

_RECORD: Final = insert_into(
    drift_table, ("kind", "name", "event_type", "first_seen_at"), "ON CONFLICT (kind, name) DO NOTHING"
)


def record_drift(connection: Connection, drift: Sequence[Drift], now_us: int) -> None:
    """Record the notes in the connection's transaction, in the order given."""
    if drift:
        _RECORD.execute(connection, [(each.kind, each.name, each.event_type, now_us) for each in drift])
