"""Watch a table of events grow in PostgreSQL or SQLite, over a separate connection."""

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
    """The rows that a table gained after the first poll that found any, and how many seconds that took."""

    rows: int
    seconds: float

    @property
    def per_second(self) -> float:
        """Rows per second since the first batch, excluding the time in which the process starts."""
        return self.rows / self.seconds


class EventTable:
    """A table of events whose rows have ascending ids.

    Args:
        url: The database's address.
        connection: A connection in autocommit mode.
        name: The table's name.
    """

    def __init__(self, url: str, connection: Connection, name: str) -> None:
        self.url = url
        self._connection = connection
        self._name = name
        self.base = 0

    def query(self, statement: str, **parameters: Any) -> Sequence[Any]:
        """Return the result of a query in which `:table` stands for the table's name."""
        named = text(statement.replace(":table", self._name))
        return self._connection.execute(named, parameters).all()

    def start_after_newest(self) -> None:
        """Exclude all rows that exist now from later counts."""
        self.base = int(self.query("SELECT coalesce(max(id), 0) FROM :table")[0][0])

    def count(self) -> int:
        """Return the number of rows that are not excluded; 0 if the table does not exist yet."""
        try:
            return int(self.query("SELECT count(*) FROM :table WHERE id > :base", base=self.base)[0][0])
        except MISSING_TABLE:
            return 0

    def digests(self) -> dict[int, bytes]:
        """Return the body_sha256 of every row that is not excluded, by id."""
        rows = self.query("SELECT id, body_sha256 FROM :table WHERE id > :base", base=self.base)
        return {number: bytes(digest) for number, digest in rows}

    def newest(self) -> int:
        """Return the highest id. Read it with the bare driver, so that many polls per second cost little."""
        cursor = self._connection.connection.cursor()
        cursor.execute(f"SELECT max(id) FROM {self._name}")  # noqa: S608  # a table of the benchmarks' own choice
        (newest,) = cursor.fetchone() or (0,)
        return int(newest)

    def wait_for(self, expected: int, *, timeout: float) -> int:
        """Poll until the table has *expected* rows, for at most *timeout* seconds; return how many it has."""
        deadline = time.monotonic() + timeout
        while (rows := self.count()) < expected and time.monotonic() < deadline:
            # Wait between two counts, because one count costs the server as much as a few hundred inserts.
            time.sleep(PATIENCE * max(POLL_SECONDS, rows / 1e6))
        return rows

    def watch(self, expected: int, *, timeout: float, on_first: Callable[[], None]) -> Growth:
        """Poll until the table has the expected number of rows.

        Raises:
            TimeoutError: The table has fewer rows after *timeout* seconds.
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
    """Open a separate connection to the database, and yield the table *name*."""
    with _engine(url) as engine, engine.connect() as connection:
        yield EventTable(url, connection, name)


def execute(url: str, statements: Sequence[str], **parameters: int) -> None:
    """Execute each statement in its own transaction, with the same parameters for all."""
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
