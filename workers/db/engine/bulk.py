"""Pass many rows to one statement, so that one round trip serves a batch.

PostgreSQL gets them as one JSON parameter that it reads as a table, SQLite as a list of VALUES: the cheapest
way that was measured for each (docs/decisions/0103-one-statement-for-many-rows.md). Bodies are passed beside
the JSON, as one byte string that the database splits (docs/decisions/0112-payloads.md). Values are always
parameters.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, chain
from typing import Any, Final

import orjson
from sqlalchemy import BigInteger, Boolean, Connection, Integer, LargeBinary, Table, Text

from workers.db.models import Digest, UtcDateTime

_POSTGRESQL_ROWS: Final = "jsonb_array_elements(CAST(%(rows)s AS jsonb)) AS r(value)"
_VALUES: Final = "<values>"
_SQLITE_ROWS: Final = f"(VALUES {_VALUES}) AS r"
SQLITE_VALUES: Final = 32_766
"""SQLite's own limit for one statement; some distributions raise it."""

_SQLITE_VALUE: Final = "r.column{number}"
_BYTES: Final = (
    (
        "substring(CAST(%(bytes)s AS bytea) FROM (r.value->{position}->>0)::integer"
        " FOR (r.value->{position}->>1)::integer)"
    ),
    _SQLITE_VALUE,
)
"""Bytes, passed unchanged; at most one column of a statement."""

_INTEGER: Final = ("(r.value->>{position})::bigint", _SQLITE_VALUE)

_FORMS: Final[Mapping[type, tuple[str, str]]] = {
    # Microseconds since the epoch; converted in SQL, which is cheaper than in Python.
    UtcDateTime: (
        # Exact: the product of an integer and an interval of whole microseconds.
        "(timestamptz 'epoch' + (r.value->>{position})::bigint * interval '1 microsecond')",
        # UTC, always 26 characters, so that texts sort as times. A Python function would be shorter, but each
        # call would wait for the interpreter while another thread has it.
        (
            "(strftime('%Y-%m-%d %H:%M:%S', (r.column{number} -"
            " ((r.column{number} % 1000000 + 1000000) % 1000000)) / 1000000, 'unixepoch') ||"
            " printf('.%06d', (r.column{number} % 1000000 + 1000000) % 1000000))"
        ),
    ),
    # Passed in hexadecimal.
    Digest: ("decode(r.value->>{position}, 'hex')", "unhex(r.column{number})"),
    LargeBinary: _BYTES,
    Boolean: ("(r.value->>{position})::boolean", _SQLITE_VALUE),
    Integer: _INTEGER,
    BigInteger: _INTEGER,
    Text: ("(r.value->>{position})", _SQLITE_VALUE),
}
"""How PostgreSQL and SQLite read a value, by the first of these types that its column has."""


class BulkStatement:
    """One statement over many rows, ready for each database.

    Args:
        template: SQL with `{rows}` for the rows' table and a column's name in braces for its value; never
            made from data.
        columns: The rows' columns in order, from `column_kinds`.
    """

    def __init__(self, template: str, columns: Mapping[str, tuple[str, str]]) -> None:
        self._postgresql = _fill(template, columns, 0, _POSTGRESQL_ROWS)
        self._sqlite = _fill(template, columns, 1, _SQLITE_ROWS)
        self._sqlite_row = f"({', '.join('?' * len(columns))})"
        kinds = list(columns.values())
        self._bytes_at = kinds.index(_BYTES) if _BYTES in kinds else None

    def execute(self, connection: Connection, rows: Sequence[Sequence[object]]) -> list[Any]:
        """Run the statement for at least one row, and return the rows that it returns, in the driver's types.

        On SQLite it runs several times above the limit. Values are in the order of the columns, as in JSON.
        """
        if connection.dialect.name == "sqlite":
            found = []
            most = SQLITE_VALUES // len(rows[0])
            for part in (rows[start : start + most] for start in range(0, len(rows), most)):
                statement = self._sqlite.replace(_VALUES, ",".join([self._sqlite_row] * len(part)))
                found += _run(connection, statement, tuple(chain.from_iterable(part)))
            return found
        parameters: dict[str, object] = {}
        if self._bytes_at is not None:
            rows, parameters["bytes"] = _split_bytes(rows, self._bytes_at)
        parameters["rows"] = orjson.dumps(rows).decode()
        return _run(connection, self._postgresql, parameters)


def insert_into(table: Table, names: Iterable[str], tail: str = "", **fixed: str) -> BulkStatement:
    """Return a statement that inserts rows with the columns of these *names*, in their order.

    The *tail* is the end of the statement, such as ON CONFLICT; further columns have *fixed* expressions.
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
    """Run a statement on the driver's cursor; SQLAlchemy's result would cost as much again."""
    cursor = connection.connection.cursor()
    try:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall()) if cursor.description else []
    except connection.dialect.loaded_dbapi.Error as error:
        # SQLAlchemy's private handler of every error: it raises a DBAPIError, and empties the pool if the
        # connection is lost. Without the parameters, which may quote an event.
        connection._handle_dbapi_exception(error, statement, None, cursor, None)  # noqa: SLF001


def column_kinds(table: Table, *names: str) -> dict[str, tuple[str, str]]:
    """Return how each database reads the values of a table's columns, by name."""
    return {
        name: next(forms for type_, forms in _FORMS.items() if isinstance(table.c[name].type, type_))
        for name in names
    }


def _split_bytes(rows: Sequence[Sequence[object]], position: int) -> tuple[list[list[object]], bytes]:
    """Replace the bytes in the rows by their start, from 1, and length; return the rows and all bytes."""
    parts: list[Any] = [row[position] for row in rows]
    ends = accumulate(map(len, parts))
    placed = [
        [*row[:position], (end - len(part) + 1, len(part)), *row[position + 1 :]]
        for row, part, end in zip(rows, parts, ends, strict=True)
    ]
    return placed, b"".join(parts)


def _fill(template: str, columns: Mapping[str, tuple[str, str]], database: int, rows: str) -> str:
    values = {
        name: forms[database].format(position=position, number=position + 1)
        for position, (name, forms) in enumerate(columns.items())
    }
    return template.format(rows=rows, **values)
