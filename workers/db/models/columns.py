"""Define tables and columns with their comments, and the types of columns."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Dialect,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    text,
)
from sqlalchemy.schema import SchemaItem


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC datetime: timestamptz in PostgreSQL, a text of fixed width in SQLite."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert a time to UTC for SQLite, which has no time zones."""
        if value is None or dialect.name != "sqlite":
            return value
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Return an aware time in UTC, whatever the time zone of the session."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


# SQLite makes only a column of the very type INTEGER its row id.
RowId = BigInteger().with_variant(Integer, "sqlite")


class Digest(LargeBinary):
    """A SHA-256, 32 bytes; statements take it in hexadecimal, as logs and envelopes have it."""

    def __init__(self) -> None:
        super().__init__(32)


# Identifiers are compared byte by byte, which is several times faster than by a language's rules.
Identifier = Text().with_variant(Text(collation="C"), "postgresql")

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)


BRIN: Any = {"postgresql_using": "brin", "postgresql_with": {"autosummarize": "on"}}
"""Options of an index that summarises ranges of pages, each as soon as it is full."""


def partial(condition: str) -> dict[str, Any]:
    """Return the options of an index over only the rows that meet a condition."""
    return {"postgresql_where": text(condition), "sqlite_where": text(condition)}


def column(name: str, kind: Any, comment: str, *, nullable: bool = False, **others: Any) -> Column[Any]:
    """Return a column; the database keeps its comment too."""
    return Column(name, kind, comment=comment, nullable=nullable, **others)


def optional(name: str, kind: Any, comment: str) -> Column[Any]:
    """Return a column that may be null."""
    return column(name, kind, comment, nullable=True)


def counter(name: str, comment: str) -> Column[Any]:
    """Return a column that counts from 0."""
    return column(name, Integer, comment, server_default="0")


def primary_key(name: str, kind: Any, comment: str, **others: Any) -> Column[Any]:
    """Return a column of the primary key."""
    return column(name, kind, comment, primary_key=True, **others)


def table(name: str, comment: str, *parts: SchemaItem) -> Table:
    """Return a table; the database keeps its comment too."""
    return Table(name, metadata, *parts, comment=comment)
