"""Hand a statement many rows at once, so that one round trip serves a batch.

PostgreSQL gets them as one JSON parameter that it reads as a table, SQLite as a list of VALUES: each is the
cheapest of the ways that were measured there (docs/decisions/0103-one-statement-for-many-rows.md). Values
are parameters always; nothing is ever built into the statement.
"""

from __future__ import annotations

import json
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Column, Connection

TEXT: Final = "text"
INTEGER: Final = "integer"
BOOLEAN: Final = "boolean"
MOMENT: Final = "moment"
"""A time in microseconds since the epoch; the database makes its own form of it, as it is not our thread."""
DIGEST: Final = "digest"
"""Bytes, handed over in hexadecimal."""

_POSTGRESQL_ROWS: Final = "jsonb_array_elements(CAST(:rows AS jsonb)) AS r(value)"
_POSTGRESQL: Final = {
    TEXT: "(r.value->>{position})",
    INTEGER: "(r.value->>{position})::bigint",
    BOOLEAN: "(r.value->>{position})::boolean",
    # Exact: the product of an integer and an interval of whole microseconds.
    MOMENT: "(timestamptz 'epoch' + (r.value->>{position})::bigint * interval '1 microsecond')",
    DIGEST: "decode(r.value->>{position}, 'hex')",
}
_VALUES: Final = "<values>"
_SQLITE_ROWS: Final = f"(VALUES {_VALUES}) AS r"
_SQLITE: Final = {
    TEXT: "r.column{number}",
    INTEGER: "r.column{number}",
    BOOLEAN: "r.column{number}",
    # UTC, always 26 characters, so that texts sort as times. A function of ours would say it in a word,
    # but each call would wait for the interpreter while another thread has it.
    MOMENT: "(strftime('%Y-%m-%d %H:%M:%S', (r.column{number} -"
    " ((r.column{number} % 1000000 + 1000000) % 1000000)) / 1000000, 'unixepoch') ||"
    " printf('.%06d', (r.column{number} % 1000000 + 1000000) % 1000000))",
    DIGEST: "unhex(r.column{number})",
}


class RowStatement:
    """One statement over many rows, ready for each database.

    Args:
        template: SQL in which `{rows}` stands for the rows' table and each column name in braces for that
            column's value. Written by us, never from data.
        columns: The rows' columns in order, name to kind.
        returns: The columns of what a query returns, where the driver's own types are not enough.
    """

    def __init__(
        self, template: str, columns: Mapping[str, str], returns: Sequence[Column[Any]] = ()
    ) -> None:
        # A "::" would be read as a parameter by SQLAlchemy were it not escaped.
        postgresql = text(_fill(template, columns, _POSTGRESQL, _POSTGRESQL_ROWS).replace("::", r"\:\:"))
        self._postgresql = postgresql.columns(*returns) if returns else postgresql
        self._sqlite = _fill(template, columns, _SQLITE, _SQLITE_ROWS)
        self._sqlite_row = f"({', '.join('?' * len(columns))})"
        self._returns = returns

    def execute(self, connection: Connection, rows: Sequence[Sequence[object]]) -> Any:
        """Run the statement once for all rows, in the order given.

        Args:
            connection: In a transaction.
            rows: At least one, of values in the order of the columns, as JSON knows them. SQLite takes
                32,766 values in all.

        Returns:
            What a query found, row by row.
        """
        if connection.dialect.name == "sqlite":
            return self._execute_on_sqlite(connection, rows)
        document = json.dumps(rows, ensure_ascii=False, separators=(",", ":"))
        return connection.execute(self._postgresql, {"rows": document})

    def _execute_on_sqlite(self, connection: Connection, rows: Sequence[Sequence[object]]) -> Any:
        values = ",".join([self._sqlite_row] * len(rows))
        parameters = tuple(chain.from_iterable(rows))
        found = connection.exec_driver_sql(self._sqlite.replace(_VALUES, values), parameters)
        if not self._returns:
            return found
        kinds = [column.type.dialect_impl(connection.dialect) for column in self._returns]
        readers = [kind.result_processor(connection.dialect, None) for kind in kinds]
        return [
            tuple(read(value) if read else value for read, value in zip(readers, row, strict=True))
            for row in found
        ]


def _fill(template: str, columns: Mapping[str, str], casts: Mapping[str, str], rows: str) -> str:
    """Put a database's own expressions into a template."""
    values = {
        name: casts[kind].format(position=position, number=position + 1)
        for position, (name, kind) in enumerate(columns.items())
    }
    return template.format(rows=rows, **values)
