"""Make rows of the workers' tables; a required column without a given value gets a constructed value."""

from datetime import UTC, datetime

from sqlalchemy import Boolean, Integer, LargeBinary

from workers.db.models import UtcDateTime

THEN = datetime(2024, 5, 15, 14, 32, 10, tzinfo=UTC)


def make_row(table, **values):
    """Return the given values of a row, and a constructed value for each other required column."""
    required = (
        column
        for column in table.c
        if not column.nullable and column.server_default is None and column is not table.autoincrement_column
    )
    return {column.name: _constructed(column) for column in required} | values


def _constructed(column):
    if isinstance(column.type, UtcDateTime):
        return THEN
    if isinstance(column.type, LargeBinary):
        return bytes(32)
    return 1 if isinstance(column.type, Integer) else False if isinstance(column.type, Boolean) else "x"
