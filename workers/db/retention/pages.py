"""Count and delete old rows, a page at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from sqlalchemy import and_, bindparam, delete, func, select, true, tuple_

from workers.db.models import UtcDateTime

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy import Column, ColumnElement, Connection, Table

RETENTION_SESSION: Final[Mapping[str, str]] = {"lock_timeout": "10s"}
"""What these statements run under in PostgreSQL: a count reads a whole table, and may take its time."""

START: Final = object()
"""The place before the first row."""

OLDER_THAN: Final = bindparam("older_than", type_=UtcDateTime())
"""From when back rows of a group may go: its conditions may ask what else goes with them."""


@dataclass(frozen=True, slots=True)
class Page:
    """What became of one page.

    Args:
        deleted: How many rows went.
        end: The key of its last row, to go on from; None when nothing old can follow.
    """

    deleted: int
    end: Any


class Kept(Protocol):
    """Rows that are kept for a time."""

    @property
    def name(self) -> str:
        """The table's name."""
        ...

    def count(self, connection: Connection, older_than: datetime) -> int:
        """Return how many rows may go."""
        ...

    def delete(self, connection: Connection, older_than: datetime, most: int, after: Any) -> Page:
        """Delete what may go of the next rows by key.

        Args:
            connection: In a transaction.
            older_than: From when back.
            most: So many rows are looked at.
            after: START, or the end of the page before.
        """
        ...


@dataclass(frozen=True, slots=True)
class KeptRows:
    """A table that is read to its end by its key, so that no index by time is needed.

    No page tells of those behind it: what came again is young, and has old rows behind it.

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
        return _count(connection, self.table, self.since < older_than)

    def delete(self, connection: Connection, older_than: datetime, most: int, after: Any) -> Page:
        """Delete the older ones among the next rows by key."""
        key = tuple(self.table.primary_key)
        is_next = true() if after is START else tuple_(*key) > after
        last = select(*key).where(is_next).order_by(*key).offset(most - 1).limit(1)
        row = connection.execute(last).first()
        end = None if row is None else tuple(row)
        is_here = is_next if end is None else and_(is_next, tuple_(*key) <= end)
        deleted = connection.execute(delete(self.table).where(is_here, self.since < older_than)).rowcount
        return Page(deleted, end)


@dataclass(frozen=True, slots=True)
class KeptGroups:
    """A table whose rows go with all that hangs on them.

    Args:
        table: Which; its key is one column.
        since: The column that says from when.
        is_done: What else must hold for a row to go; it may name OLDER_THAN.
        hanging: Columns of other tables that hold the key.
        rises: The time that rises with the key, None for none: a page that is too young by it is the last.
            It never changes, as *since* may: what came again is young, and has old rows behind it.
    """

    table: Table
    since: ColumnElement[Any]
    is_done: ColumnElement[bool]
    hanging: tuple[Column[Any], ...]
    rises: Column[Any] | None

    @property
    def name(self) -> str:
        """The table's name."""
        return self.table.name

    def count(self, connection: Connection, older_than: datetime) -> int:
        """Return how many rows may go."""
        query = select(func.count()).select_from(self.table).where(self.since < OLDER_THAN, self.is_done)
        return int(connection.execute(query, {OLDER_THAN.key: older_than}).scalar_one())

    def delete(self, connection: Connection, older_than: datetime, most: int, after: Any) -> Page:
        """Delete what may go of the next rows by key, and what hangs on it.

        A row that a worker has in hand is left for another day: nobody waits for anybody here.
        """
        [key] = self.table.primary_key
        bound = {OLDER_THAN.key: older_than}
        is_early = true() if self.rises is None else self.rises < OLDER_THAN
        columns = (key, (self.since < OLDER_THAN).label("is_old"), is_early.label("is_early"))
        page = select(*columns).order_by(key).limit(most)
        rows = connection.execute(page if after is START else page.where(key > after), bound).all()
        if not any(row.is_early for row in rows):
            return Page(0, None)
        old = [row[0] for row in rows if row.is_old]
        may_go = select(key).where(key.in_(old), self.is_done, self.since < OLDER_THAN).order_by(key)
        going = list(connection.scalars(may_go.with_for_update(skip_locked=True, of=self.table), bound))
        for column in self.hanging:
            connection.execute(delete(column.table).where(column.in_(going)))
        connection.execute(delete(self.table).where(key.in_(going)))
        return Page(len(going), rows[-1][0])


@dataclass(frozen=True, slots=True)
class KeptByTime:
    """A table of few rows, or with an index by time: the oldest go first.

    Args:
        table: Which.
        since: The column that says from when.
        is_done: What else must hold for a row to go.
    """

    table: Table
    since: Column[Any]
    is_done: ColumnElement[bool] = field(default_factory=true)

    @property
    def name(self) -> str:
        """The table's name."""
        return self.table.name

    def count(self, connection: Connection, older_than: datetime) -> int:
        """Return how many rows may go."""
        return _count(connection, self.table, and_(self.since < older_than, self.is_done))

    def delete(self, connection: Connection, older_than: datetime, most: int, after: Any) -> Page:  # noqa: ARG002  # the next page is the first again
        """Delete the oldest rows."""
        key = tuple(self.table.primary_key)
        old = select(*key).where(self.since < older_than, self.is_done).order_by(self.since).limit(most)
        target = tuple_(*key) if len(key) > 1 else key[0]
        deleted = connection.execute(delete(self.table).where(target.in_(old))).rowcount
        return Page(deleted, START if deleted else None)


def _count(connection: Connection, table: Table, condition: ColumnElement[bool]) -> int:
    query = select(func.count()).select_from(table).where(condition)
    return int(connection.execute(query).scalar_one())
