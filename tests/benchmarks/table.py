"""Watch a table of events grow, from outside, in PostgreSQL or SQLite."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import OperationalError, ProgrammingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy import Connection

POLL_SECONDS: Final = 0.02
PATIENCE: Final = 5
PROCESSED: Final = "processed_events"
MISSING_TABLE: Final = (ProgrammingError, OperationalError)


@dataclass(frozen=True, slots=True)
class Growth:
    """The growth of a table: rows between the first poll that found some and the last, and the seconds."""

    rows: int
    seconds: float

    @property
    def per_second(self) -> float:
        """Rows per second; counting starts with the first batch, so the start of the process is left out."""
        return self.rows / self.seconds


class EventTable:
    """A table whose rows have rising ids.

    Args:
        url: The database's address.
        connection: Commits by itself.
        name: The table's name.
    """

    def __init__(self, url: str, connection: Connection, name: str) -> None:
        self.url = url
        self._connection = connection
        self._name = name
        self.base = 0

    def query(self, statement: str, **parameters: Any) -> Sequence[Any]:
        """Return the rows of a query that names the table `:table`."""
        named = text(statement.replace(":table", self._name))
        return self._connection.execute(named, parameters).all()

    def start_after_newest(self) -> None:
        """Exclude the present rows from every further count."""
        self.base = int(self.query("SELECT coalesce(max(id), 0) FROM :table")[0][0])

    def count(self) -> int:
        """Return the rows counted, 0 while there is no table."""
        try:
            return int(self.query("SELECT count(*) FROM :table WHERE id > :base", base=self.base)[0][0])
        except MISSING_TABLE:
            return 0

    def digests(self) -> dict[int, bytes]:
        """Return body_sha256 of every row counted, by id."""
        rows = self.query("SELECT id, body_sha256 FROM :table WHERE id > :base", base=self.base)
        return {number: bytes(digest) for number, digest in rows}

    def newest(self) -> int:
        """Return the highest id, read with the driver, so that a thousand polls a second cost little."""
        cursor = self._connection.connection.cursor()
        cursor.execute(f"SELECT max(id) FROM {self._name}")  # noqa: S608  # a table of the benchmarks' own choice
        (newest,) = cursor.fetchone() or (0,)
        return int(newest)

    def wait_for(self, expected: int, *, timeout: float) -> int:
        """Poll until the table has so many rows; return how many it then has."""
        deadline = time.monotonic() + timeout
        while (rows := self.count()) < expected and time.monotonic() < deadline:
            # Counting costs the server as much as some hundred inserts.
            time.sleep(PATIENCE * max(POLL_SECONDS, rows / 1e6))
        return rows

    def watch(self, expected: int, *, timeout: float, on_first: Callable[[], None]) -> Growth:
        """Poll until the table has the expected rows.

        Raises:
            TimeoutError: It has fewer after *timeout* seconds.
        """
        deadline = time.monotonic() + timeout
        first = self._poll_until(1, deadline)
        started = time.monotonic()
        on_first()
        return Growth(self._poll_until(expected, deadline) - first, time.monotonic() - started)

    def _poll_until(self, expected: int, deadline: float) -> int:
        while (rows := self.count()) < expected:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{rows} of {expected} rows in {self._name}")
            time.sleep(POLL_SECONDS)
        return rows


@contextmanager
def event_table(url: str, name: str = PROCESSED) -> Iterator[EventTable]:
    """Open a connection of its own to the database of a table."""
    with _engine(url) as engine, engine.connect() as connection:
        yield EventTable(url, connection, name)


def execute(url: str, statements: Sequence[str], **parameters: int) -> None:
    """Execute statements, each committed by itself, all with the same parameters."""
    with _engine(url) as engine, engine.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement, parameters)


@contextmanager
def _engine(url: str) -> Iterator[Engine]:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        yield engine
    finally:
        engine.dispose()
