"""Provide the types of columns, and functions that define tables and columns with their comments."""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa


class UtcDateTime(sa.TypeDecorator[datetime]):
    """The type of an aware UTC datetime: timestamptz in PostgreSQL, and text of fixed width in SQLite."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Convert a time to UTC and remove its time zone for SQLite, which has no time zones."""
        if value is None or dialect.name != "sqlite":
            return value
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:  # noqa: ARG002
        """Return an aware time in UTC, regardless of the time zone of the database session."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


# The type of an id. SQLite uses a column as its row id only if the column's type is exactly INTEGER.
RowId = sa.BigInteger().with_variant(sa.Integer, "sqlite")


class Digest(sa.LargeBinary):
    """The type of a column with SHA-256 digests of 32 bytes; bulk statements pass them in hexadecimal."""

    def __init__(self) -> None:
        super().__init__(32)


# The type of an identifier. Comparing bytes is several times faster than using a locale's collation.
Identifier = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

metadata = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)


BRIN: Any = {"postgresql_using": "brin", "postgresql_with": {"autosummarize": "on"}}
"""Options of a BRIN index, which summarises each range of pages as soon as the range is full."""


def partial(condition: str) -> dict[str, Any]:
    """Return the options of an index that contains only the rows that meet a condition."""
    return {"postgresql_where": sa.text(condition), "sqlite_where": sa.text(condition)}


def column(name: str, kind: Any, comment: str, *, nullable: bool = False, **others: Any) -> sa.Column[Any]:
    """Return a column with a comment, which the database stores too."""
    return sa.Column(name, kind, comment=comment, nullable=nullable, **others)


def optional(name: str, kind: Any, comment: str) -> sa.Column[Any]:
    """Return a column that may be null."""
    return column(name, kind, comment, nullable=True)


def counter(name: str, comment: str) -> sa.Column[Any]:
    """Return an integer column whose default value is 0."""
    return column(name, sa.Integer, comment, server_default="0")


def primary_key(name: str, kind: Any, comment: str, **others: Any) -> sa.Column[Any]:
    """Return a column of the primary key."""
    return column(name, kind, comment, primary_key=True, **others)


def table(name: str, comment: str, *parts: sa.schema.SchemaItem) -> sa.Table:
    """Return a table with a comment, which the database stores too."""
    return sa.Table(name, metadata, *parts, comment=comment)
