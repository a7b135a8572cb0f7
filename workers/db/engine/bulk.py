"""Pass many rows to one statement, so that one round trip serves a batch.

PostgreSQL reads the rows as a table from one JSON parameter, and SQLite from a list of VALUES. Each is the
cheapest way that was measured (docs/decisions/0103-one-statement-for-many-rows.md). Bodies are passed beside
the JSON, as one byte string that the database splits (docs/decisions/0112-payloads.md). Values are always
parameters.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, chain
from typing import Any, Final, NamedTuple

import orjson
from sqlalchemy import BigInteger, Boolean, Connection, Integer, LargeBinary, Table, Text

from workers.db.models import Digest, UtcDateTime

_POSTGRESQL_ROWS: Final = "jsonb_array_elements(CAST(%(rows)s AS jsonb)) AS r(value)"
_VALUES: Final = "<values>"
_SQLITE_ROWS: Final = f"(VALUES {_VALUES}) AS r"
SQLITE_VALUES: Final = 32_766
"""SQLite's own limit for one statement; some distributions raise it."""


class Form(NamedTuple):
    """How each database reads a value: by `position` in the row, from 0, or by `number`, from 1."""

    postgresql: str
    sqlite: str = "r.column{number}"


_BYTES: Final = Form(
    "substring(CAST(%(bytes)s AS bytea) FROM (r.value->{position}->>0)::integer"
    " FOR (r.value->{position}->>1)::integer)"
)
"""Bytes, passed unchanged; at most one column of a statement."""

_INTEGER: Final = Form("(r.value->>{position})::bigint")

_FORMS: Final[Mapping[type, Form]] = {
    # Microseconds since the epoch; converted in SQL, which is cheaper than in Python.
    UtcDateTime: Form(
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
    Digest: Form("decode(r.value->>{position}, 'hex')", "unhex(r.column{number})"),
    LargeBinary: _BYTES,
    Boolean: Form("(r.value->>{position})::boolean"),
    Integer: _INTEGER,
    BigInteger: _INTEGER,
    Text: Form("(r.value->>{position})"),
}
"""A column has the form of the first of these types that its own type is or extends."""


class BulkStatement:
    """One statement over many rows, ready for each database.

    Args:
        template: SQL with `{rows}` for the rows' table and a column's name in braces for its value; never
            made from data.
        columns: The rows' columns in order, from `column_kinds`.
    """

    def __init__(self, template: str, columns: Mapping[str, Form]) -> None:
        postgresql = {name: form.postgresql for name, form in columns.items()}
        sqlite = {name: form.sqlite for name, form in columns.items()}
        self._postgresql = _fill(template, postgresql, _POSTGRESQL_ROWS)
        self._sqlite = _fill(template, sqlite, _SQLITE_ROWS)
        self._sqlite_row = f"({', '.join('?' * len(columns))})"
        forms = list(columns.values())
        self._bytes_at = forms.index(_BYTES) if _BYTES in forms else None

    def execute(self, connection: Connection, rows: Sequence[Sequence[object]]) -> list[Any]:
        """Run the statement for at least one row, and return the rows that it returns, in the driver's types.

        On SQLite it runs several times for many rows. Values are in the order of the columns, as in JSON.
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
    """Run a statement on the driver's cursor; SQLAlchemy's result object would double the cost."""
    cursor = connection.connection.cursor()
    try:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall()) if cursor.description else []
    except connection.dialect.loaded_dbapi.Error as error:
        # SQLAlchemy's private handler of every error: it raises a DBAPIError, and empties the pool if the
        # connection is lost. The parameters are left out, because they may quote an event.
        connection._handle_dbapi_exception(error, statement, None, cursor, None)  # noqa: SLF001


def column_kinds(table: Table, *names: str) -> dict[str, Form]:
    """Return how each database reads the values of a table's columns, by name."""
    return {
        name: next(form for type_, form in _FORMS.items() if isinstance(table.c[name].type, type_))
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


def _fill(template: str, columns: Mapping[str, str], rows: str) -> str:
    """Fill a template with the expressions of one database, by column."""
    values = {
        name: expression.format(position=position, number=position + 1)
        for position, (name, expression) in enumerate(columns.items())
    }
    return template.format(rows=rows, **values)
