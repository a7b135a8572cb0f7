"""Put on record what the platform sent that this version does not know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from workers.tables.rowset import MOMENT, TEXT, RowStatement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from workers.parsing.drift import Drift

_RECORD: Final = RowStatement(
    """
    INSERT INTO drift (kind, name, event_type, first_seen_at)
    SELECT {kind}, {name}, {event_type}, {first_seen_at} FROM {rows} WHERE true
    ON CONFLICT (kind, name) DO NOTHING
    """,
    {"kind": TEXT, "name": TEXT, "event_type": TEXT, "first_seen_at": MOMENT},
)


def record_drift(connection: Connection, drift: Sequence[Drift], now_us: int) -> None:
    """Record the notes in the connection's transaction, in the order given."""
    if drift:
        _RECORD.execute(connection, [(each.kind, each.name, each.event_type, now_us) for each in drift])
