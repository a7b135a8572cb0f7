"""Record names and values of the platform that this version does not know."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, select, update

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


@dataclass(frozen=True, slots=True)
class DriftRecord:
    """One row of the table `drift`; its comments explain the columns."""

    kind: str
    name: str
    event_type: str
    sample: str | None
    count: int
    first_seen_at: datetime
    last_seen_at: datetime
    accepted_at: datetime | None
    accepted_by: str | None


def record_drift(connection: Connection, drift: Sequence[Drift], now_us: int) -> list[Drift]:
    """Record drift in the order given, and return what was not recorded before."""
    if not drift:
        return []
    rows = [
        (each.kind, each.name, each.event_type, each.sample, each.count, now_us, now_us) for each in drift
    ]
    counts = {(kind, name): count for kind, name, count in _RECORD.execute(connection, rows)}
    return [each for each in drift if counts[each.kind, each.name] == each.count]


def read_drift(connection: Connection, *, with_accepted: bool) -> list[DriftRecord]:
    """Return the recorded drift, the newest first."""
    columns = [drift_table.c[name] for name in DriftRecord.__dataclass_fields__]
    query = select(*columns).order_by(drift_table.c.first_seen_at.desc(), drift_table.c.name)
    if not with_accepted:
        query = query.where(drift_table.c.accepted_at.is_(None))
    return [DriftRecord(*row) for row in connection.execute(query)]


def accept_drift(connection: Connection, names: Sequence[str], operator: str, now_us: int) -> set[str]:
    """Record that an operator has accepted names, and return those that were not accepted before."""
    statement = (
        update(drift_table)
        .where(drift_table.c.name.in_(names), drift_table.c.accepted_at.is_(None))
        .values(accepted_at=moment_of(now_us), accepted_by=operator)
        .returning(drift_table.c.name)
    )
    return set(connection.scalars(statement))
