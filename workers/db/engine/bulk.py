"""Pass many rows to one statement, so that a batch needs only one round trip.

PostgreSQL reads the rows as a table from one JSON parameter, and SQLite reads them from a list of VALUES.
Measurements found no cheaper method (docs/decisions/0103-one-statement-for-many-rows.md). Bodies are
passed separately, as one byte string that the database splits (docs/decisions/0112-payloads.md).
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
"""Maximum number of values in one statement: SQLite's default, which some distributions raise."""


class Form(NamedTuple):
    """How each database reads a value of a row, by its `position` from 0 or its `number` from 1."""

    postgresql: str
    sqlite: str = "r.column{number}"


_BYTES: Final = Form(
    "substring(CAST(%(bytes)s AS bytea) FROM (r.value->{position}->>0)::integer"
    " FOR (r.value->{position}->>1)::integer)"
)
"""The form of a bytes column. A statement may have at most one; its bytes are passed unchanged."""

_INTEGER: Final = Form("(r.value->>{position})::bigint")

_FORMS: Final[Mapping[type, Form]] = {
    # A time is passed as microseconds since the epoch and converted in SQL, which is cheaper than in Python.
    UtcDateTime: Form(
        # The result is exact, because an integer is multiplied by an interval of one microsecond.
        "(timestamptz 'epoch' + (r.value->>{position})::bigint * interval '1 microsecond')",
        # A UTC time with 26 characters, so that the texts sort in time order. A Python function would be
        # shorter, but every call would wait while another thread holds the interpreter lock.
        (
            "(strftime('%Y-%m-%d %H:%M:%S', (r.column{number} -"
            " ((r.column{number} % 1000000 + 1000000) % 1000000)) / 1000000, 'unixepoch') ||"
            " printf('.%06d', (r.column{number} % 1000000 + 1000000) % 1000000))"
        ),
    ),
    # A digest is passed in hexadecimal.
    Digest: Form("decode(r.value->>{position}, 'hex')", "unhex(r.column{number})"),
    LargeBinary: _BYTES,
    Boolean: Form("(r.value->>{position})::boolean"),
    Integer: _INTEGER,
    BigInteger: _INTEGER,
    Text: Form("(r.value->>{position})"),
}
"""The form for each type. The order matters: a column gets the first form whose type matches its own type."""


class BulkStatement:
    """One statement for many rows, prepared for both databases.

    Args:
        template: SQL in which `{rows}` stands for the table of rows, and a column's name in braces for the
            column's value. Never build it from data.
        columns: The columns of a row, in order, as `column_kinds` returns them.
    """

    def __init__(self, template: str, columns: Mapping[str, Form]) -> None:
        forms = list(columns.values())
        self._postgresql = _fill(template, columns, [form.postgresql for form in forms], _POSTGRESQL_ROWS)
        self._sqlite = _fill(template, columns, [form.sqlite for form in forms], _SQLITE_ROWS)
        self._sqlite_row = f"({', '.join('?' * len(columns))})"
        self._bytes_at = forms.index(_BYTES) if _BYTES in forms else None

    def execute(self, connection: Connection, rows: Sequence[Sequence[object]]) -> list[Any]:
        """Run the statement if there are rows; return the rows of its result, in the driver's types.

        On SQLite, many rows need several statements. A row contains JSON values in the order of the columns.
        """
        if not rows:
            return []
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
    """Return a statement that inserts rows; a row has values for the columns *names*, in this order.

    *tail* is the end of the statement, such as ON CONFLICT. *fixed* maps further columns to SQL expressions.
    """
    columns = column_kinds(table, *names)
    targets = ", ".join([*columns, *fixed])
    values = ", ".join([*(f"{{{name}}}" for name in columns), *fixed.values()])
    # Without "WHERE true", SQLite would parse ON CONFLICT as the condition of a join.
    return BulkStatement(
        f"INSERT INTO {table.name} ({targets}) SELECT {values} FROM {{rows}} WHERE true {tail}",  # noqa: S608  # our own names
        columns,
    )


def _run(connection: Connection, statement: str, parameters: Any) -> list[Any]:
    """Run a statement on the driver's cursor, because SQLAlchemy's result object would double the cost."""
    cursor = connection.connection.cursor()
    try:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall()) if cursor.description else []
    except connection.dialect.loaded_dbapi.Error as error:
        # SQLAlchemy passes every error to this private method. It raises a DBAPIError and, if the connection
        # is lost, empties the pool. The parameters are left out, because they can contain an event's data.
        connection._handle_dbapi_exception(error, statement, None, cursor, None)  # noqa: SLF001


def column_kinds(table: Table, *names: str) -> dict[str, Form]:
    """Return how each database reads the values of a table's named columns."""
    return {
        name: next(form for type_, form in _FORMS.items() if isinstance(table.c[name].type, type_))
        for name in names
    }


def _split_bytes(rows: Sequence[Sequence[object]], position: int) -> tuple[list[list[object]], bytes]:
    """Return the rows with a start (from 1) and length in place of their bytes, and all the bytes joined."""
    parts: list[Any] = [row[position] for row in rows]
    ends = accumulate(map(len, parts))
    placed = [
        [*row[:position], (end - len(part) + 1, len(part)), *row[position + 1 :]]
        for row, part, end in zip(rows, parts, ends, strict=True)
    ]
    return placed, b"".join(parts)


def _fill(template: str, names: Iterable[str], forms: Iterable[str], rows: str) -> str:
    """Return the SQL of a template for one database, with the columns' names replaced by expressions."""
    values = (form.format(position=position, number=position + 1) for position, form in enumerate(forms))
    return template.format(rows=rows, **dict(zip(names, values, strict=True)))
