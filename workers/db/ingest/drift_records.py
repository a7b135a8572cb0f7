"""Record the names, values and types in the platform's events that this version does not know."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, RowMapping, select, update

from workers.db.engine import insert_into
from workers.db.models import drift as drift_table
from workers.parsing import Drift, moment_of

_RECORD: Final = insert_into(
    drift_table,
    ("kind", "name", "event_type", "sample", "count", "first_seen_at", "last_seen_at"),
    """
    ON CONFLICT (kind, name) DO UPDATE SET count = drift.count + excluded.count,
        last_seen_at = excluded.last_seen_at, sample = COALESCE(drift.sample, excluded.sample)
    RETURNING kind, name, count
    """,
)


def record_drift(connection: Connection, drift: Sequence[Drift], now_us: int) -> list[Drift]:
    """Record drift in the given order, and return the items that were not recorded before."""
    rows = [(one.kind, one.name, one.event_type, one.sample, one.count, now_us, now_us) for one in drift]
    counts = {(kind, name): count for kind, name, count in _RECORD.execute(connection, rows)}
    return [item for item in drift if counts[item.kind, item.name] == item.count]


def read_drift(connection: Connection, *, with_accepted: bool) -> list[RowMapping]:
    """Return the rows of the table `drift`, newest first; accepted rows only if *with_accepted* is true."""
    query = select(drift_table).order_by(drift_table.c.first_seen_at.desc(), drift_table.c.name)
    if not with_accepted:
        query = query.where(drift_table.c.accepted_at.is_(None))
    return list(connection.execute(query).mappings())


def accept_drift(connection: Connection, names: Sequence[str], operator: str, now_us: int) -> set[str]:
    """Record that an operator has accepted names, and return the names that were not accepted before."""
    accepted = update(drift_table).values(accepted_at=moment_of(now_us), accepted_by=operator)
    statement = accepted.where(drift_table.c.name.in_(names), drift_table.c.accepted_at.is_(None))
    return set(connection.scalars(statement.returning(drift_table.c.name)))
