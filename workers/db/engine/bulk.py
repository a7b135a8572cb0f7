"""Hand a statement many rows at once, so that one round trip serves a batch.

PostgreSQL gets them as one JSON parameter that it reads as a table, SQLite as a list of VALUES: each is the
cheapest of the ways that were measured there (docs/decisions/0103-one-statement-for-many-rows.md). Bodies
cross beside the JSON, all in one piece of bytes that the database cuts up again
(docs/decisions/0112-payloads.md). Values are parameters always; nothing is ever built into the statement.
"""

from __future__ import annotations

from itertools import accumulate, chain
from typing import TYPE_CHECKING, Any, Final

import orjson
from sqlalchemy import BigInteger, Boolean, Integer, LargeBinary, Text

from workers.db.models import Digest, UtcDateTime

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import Column, Connection, Table

TEXT: Final = "text"
INTEGER: Final = "integer"
BOOLEAN: Final = "boolean"
MOMENT: Final = "moment"
"""A time in microseconds since the epoch; the database makes its own form of it, as it is not our thread."""
DIGEST: Final = "digest"
"""Bytes, handed over in hexadecimal."""
BYTES: Final = "bytes"
"""Bytes, handed over as they are; at most one column of a statement."""

_KINDS: Final = (
    (UtcDateTime, MOMENT),
    (Digest, DIGEST),
    (LargeBinary, BYTES),
    (Boolean, BOOLEAN),
    (Integer, INTEGER),
    (BigInteger, INTEGER),
    (Text, TEXT),
)

_POSTGRESQL_ROWS: Final = "jsonb_array_elements(CAST(%(rows)s AS jsonb)) AS r(value)"
_POSTGRESQL: Final = {
    TEXT: "(r.value->>{position})",
    INTEGER: "(r.value->>{position})::bigint",
    BOOLEAN: "(r.value->>{position})::boolean",
    # Exact: the product of an integer and an interval of whole microseconds.
    MOMENT: "(timestamptz 'epoch' + (r.value->>{position})::bigint * interval '1 microsecond')",
    DIGEST: "decode(r.value->>{position}, 'hex')",
    BYTES: "substring(CAST(%(bytes)s AS bytea) FROM (r.value->{position}->>0)::integer"
    " FOR (r.value->{position}->>1)::integer)",
}
SQLITE_VALUES: Final = 32_766
"""SQLite's own limit for one statement; some distributions raise it."""

_VALUES: Final = "<values>"
_SQLITE_ROWS: Final = f"(VALUES {_VALUES}) AS r"
_SQLITE: Final = {
    TEXT: "r.column{number}",
    INTEGER: "r.column{number}",
    BOOLEAN: "r.column{number}",
    BYTES: "r.column{number}",
    # UTC, always 26 characters, so that texts sort as times. A function of ours would say it in a word,
    # but each call would wait for the interpreter while another thread has it.
    MOMENT: "(strftime('%Y-%m-%d %H:%M:%S', (r.column{number} -"
    " ((r.column{number} % 1000000 + 1000000) % 1000000)) / 1000000, 'unixepoch') ||"
    " printf('.%06d', (r.column{number} % 1000000 + 1000000) % 1000000))",
    DIGEST: "unhex(r.column{number})",
}


class BulkStatement:
    """One statement over many rows, ready for each database.

    Args:
        template: SQL in which `{rows}` stands for the rows' table and each column name in braces for that
            column's value. Written by us, never from data.
        columns: The rows' columns in order, name to kind.
    """

    def __init__(self, template: str, columns: Mapping[str, str]) -> None:
        self._postgresql = _fill(template, columns, _POSTGRESQL, _POSTGRESQL_ROWS)
        self._sqlite = _fill(template, columns, _SQLITE, _SQLITE_ROWS)
        self._sqlite_row = f"({', '.join('?' * len(columns))})"
        kinds = list(columns.values())
        self._bytes_at = kinds.index(BYTES) if BYTES in kinds else None

    def execute(self, connection: Connection, rows: Sequence[Sequence[object]]) -> list[Any]:
        """Run the statement for all rows, in the order given: once, on SQLite as often as its limit demands.

        Args:
            connection: In a transaction.
            rows: At least one, of values in the order of the columns, as JSON knows them.

        Returns:
            What a query found, row by row, in the driver's types.

        Raises:
            DBAPIError: As of any statement of SQLAlchemy's.
        """
        if connection.dialect.name == "sqlite":
            most = SQLITE_VALUES // len(rows[0])
            parts = [rows[start : start + most] for start in range(0, len(rows), most)]
            return [found for part in parts for found in _run(connection, *self._for_sqlite(part))]
        return _run(connection, self._postgresql, self._for_postgresql(rows))

    def _for_postgresql(self, rows: Sequence[Sequence[object]]) -> dict[str, object]:
        parameters: dict[str, object] = {}
        if self._bytes_at is not None:
            rows, parameters["bytes"] = _split_bytes(rows, self._bytes_at)
        parameters["rows"] = orjson.dumps(rows).decode()
        return parameters

    def _for_sqlite(self, rows: Sequence[Sequence[object]]) -> tuple[str, tuple[object, ...]]:
        values = ",".join([self._sqlite_row] * len(rows))
        return self._sqlite.replace(_VALUES, values), tuple(chain.from_iterable(rows))


def insert_into(table: Table, names: Iterable[str], tail: str = "", **fixed: str) -> BulkStatement:
    """Return the statement that inserts one record a row.

    Args:
        table: Where; its columns say how each value is handed over.
        names: The columns that rows have values for, in their order.
        tail: What follows, such as ON CONFLICT.
        fixed: Further columns, with an SQL expression each.
    """
    columns = column_kinds(table, *names)
    targets = ", ".join([*columns, *fixed])
    values = ", ".join([*(f"{{{name}}}" for name in columns), *fixed.values()])
    # "WHERE true" keeps SQLite from reading ON CONFLICT as the condition of a join.
    return BulkStatement(
        f"INSERT INTO {table.name} ({targets}) SELECT {values} FROM {{rows}} WHERE true {tail}",  # noqa: S608  # names of ours
        columns,
    )


def _run(connection: Connection, statement: str, parameters: Any) -> list[Any]:
    """Run a statement on the driver's cursor; half of what SQLAlchemy's own way costs is its result."""
    cursor = connection.connection.cursor()
    try:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall()) if cursor.description else []
    except connection.dialect.loaded_dbapi.Error as error:
        # The private method through which every error of SQLAlchemy's goes: it makes it a DBAPIError, and
        # empties the pool where the connection is lost. Without the parameters, which may quote an event.
        connection._handle_dbapi_exception(error, statement, None, cursor, None)  # noqa: SLF001


def column_kinds(table: Table, *names: str) -> dict[str, str]:
    """Return how the values of a table's columns are handed over, by name."""
    return {name: _kind_of(table.c[name]) for name in names}


def _kind_of(column: Column[Any]) -> str:
    return next(kind for type_, kind in _KINDS if isinstance(column.type, type_))


def _split_bytes(rows: Sequence[Sequence[object]], position: int) -> tuple[list[list[object]], bytes]:
    """Take the bytes out of the rows; what stands there instead is their place: start, from 1, and length."""
    parts: list[Any] = [row[position] for row in rows]
    ends = accumulate(map(len, parts))
    placed = [
        [*row[:position], (end - len(part) + 1, len(part)), *row[position + 1 :]]
        for row, part, end in zip(rows, parts, ends, strict=True)
    ]
    return placed, b"".join(parts)


def _fill(template: str, columns: Mapping[str, str], casts: Mapping[str, str], rows: str) -> str:
    """Put a database's own expressions into a template."""
    values = {
        name: casts[kind].format(position=position, number=position + 1)
        for position, (name, kind) in enumerate(columns.items())
    }
    return template.format(rows=rows, **values)
