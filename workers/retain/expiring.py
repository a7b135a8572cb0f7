"""Count and delete the old rows of a table, a page at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, bindparam, delete, func, select, true, tuple_

from workers.db.models import UtcDateTime

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Column, ColumnElement, Connection, Table

START: Final = object()
"""The place before the first row."""

OLDER_THAN: Final = bindparam("older_than", type_=UtcDateTime())
"""The time before which rows expire; a table's conditions may use it."""


@dataclass(frozen=True, slots=True)
class DeletedPage:
    """A page of a table's rows, of which the expired ones were deleted.

    Args:
        deleted: How many rows were deleted.
        end: The key of its last row, to go on from; None if no old row can follow.
    """

    deleted: int
    end: Any


@dataclass(frozen=True, slots=True)
class ExpiringTable:
    """A table whose rows expire, with the rows of other tables that depend on them.

    Args:
        table: The table.
        since: The column from which a row's age counts.
        is_done: What else must hold for a row to go.
        dependent: Columns of other tables that hold the key.
        rises: The time that rises with the key, None if there is none: a page that is too young by it is the
            last. It never changes, as *since* may: an event that came again is young, and has old ones
            behind it. Without it the table is read to its end.
    """

    table: Table
    since: ColumnElement[Any]
    is_done: ColumnElement[bool] = field(default_factory=true)
    dependent: tuple[Column[Any], ...] = ()
    rises: Column[Any] | None = None

    def count(self, connection: Connection, older_than: datetime) -> int:
        """Return how many rows have expired."""
        query = select(func.count()).select_from(self.table).where(self.since < OLDER_THAN, self.is_done)
        return int(connection.execute(query, {OLDER_THAN.key: older_than}).scalar_one())

    def delete(self, connection: Connection, older_than: datetime, page_rows: int, after: Any) -> DeletedPage:
        """Delete the expired ones among the next rows by key, with their dependents.

        A row that a worker has locked is left for another day: neither waits for the other.

        Args:
            connection: In a transaction.
            older_than: The time before which rows expire.
            page_rows: How many rows are looked at.
            after: START, or the end of the page before.
        """
        columns, bound = tuple(self.table.primary_key), {OLDER_THAN.key: older_than}
        key: Any = tuple_(*columns) if len(columns) > 1 else columns[0]
        is_early = true() if self.rises is None else self.rises < OLDER_THAN
        conditions = ((self.since < OLDER_THAN).label("is_old"), is_early.label("is_early"))
        page = select(*columns, *conditions).order_by(*columns).limit(page_rows)
        rows = connection.execute(page if after is START else page.where(key > after), bound).all()
        if not any(row.is_early for row in rows):
            return DeletedPage(0, None)
        keys = [row[0] if len(columns) == 1 else tuple(row[:-2]) for row in rows]
        old = [found for found, row in zip(keys, rows, strict=True) if row.is_old]
        expired = select(*columns).where(and_(key.in_(old), self.is_done, self.since < OLDER_THAN))
        locked = connection.execute(
            expired.order_by(*columns).with_for_update(skip_locked=True, of=self.table), bound
        )
        going = [row[0] if len(columns) == 1 else tuple(row) for row in locked]
        for column in self.dependent:
            connection.execute(delete(column.table).where(column.in_(going)))
        connection.execute(delete(self.table).where(key.in_(going)))
        return DeletedPage(len(going), keys[-1])
