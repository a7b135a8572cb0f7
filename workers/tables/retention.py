"""Count and delete old rows, a page at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, func, select, tuple_

from workers.tables.models import duplicate_events, event_payloads

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy import Column, Connection, Table

RETENTION_SESSION: Final[Mapping[str, str]] = {"lock_timeout": "10s"}
"""What these statements run under in PostgreSQL: a count reads a whole table, and may take its time."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A table whose rows are kept for a time.

    Args:
        table: Which.
        since: The column that says from when.
    """

    table: Table
    since: Column[Any]

    @property
    def name(self) -> str:
        """The table's name."""
        return self.table.name

    def count(self, connection: Connection, older_than: datetime) -> int:
        """Return how many rows are older."""
        query = select(func.count()).select_from(self.table).where(self.since < older_than)
        return int(connection.execute(query).scalar_one())

    def delete(self, connection: Connection, older_than: datetime, most: int) -> int:
        """Delete the older ones among the first rows by key, and return how many went.

        Keys rise with time, but for conflicts with old events. So no index by time is needed, and a page
        without an old row is the last that need be read.
        """
        key = tuple(self.table.primary_key)
        page = select(*key, self.since).order_by(*key).limit(most).subquery()
        old = select(*(page.c[column.name] for column in key)).where(page.c[self.since.name] < older_than)
        target = tuple_(*key) if len(key) > 1 else key[0]
        return connection.execute(delete(self.table).where(target.in_(old))).rowcount


KEPT_PAYLOADS: Final = Kept(event_payloads, event_payloads.c.stored_at)
KEPT_CONFLICTS: Final = Kept(duplicate_events, duplicate_events.c.last_seen_at)
