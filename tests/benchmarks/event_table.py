"""Watch a table of events fill up, from outside, in PostgreSQL or SQLite."""

from __future__ import annotations

import sqlite3
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import psycopg

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

POLL_SECONDS: Final = 0.02
PATIENCE: Final = 5
PROCESSED: Final = "processed_events"
MISSING_TABLE: Final = (psycopg.errors.UndefinedTable, sqlite3.OperationalError)


@dataclass(frozen=True, slots=True)
class Growth:
    """How a table grew.

    Args:
        rows: Rows that came between the first look that found some and the last.
        seconds: Between these two looks.
        ended_at: When the last look found the table full, by the wall clock.
    """

    rows: int
    seconds: float
    ended_at: float

    @property
    def per_second(self) -> float:
        """Rows per second; counting starts with the first batch, so the start of the process is left out."""
        return self.rows / self.seconds


class EventTable:
    """A table whose rows have rising ids.

    Args:
        execute: Runs a query and returns its rows; commits.
        name: The table's name.
    """

    def __init__(self, execute: Callable[[str], list[Any]], name: str) -> None:
        self._execute = execute
        self._name = name
        self.base = 0

    def start_after_newest(self) -> None:
        """Leave the rows that are there out of every further count."""
        query = f"SELECT coalesce(max(id), 0) FROM {self._name}"  # noqa: S608  # a constant of ours
        self.base = int(self._execute(query)[0][0])

    def count(self) -> int:
        """Return the rows counted, 0 while there is no table."""
        query = f"SELECT count(*) FROM {self._name} WHERE id > {self.base}"  # noqa: S608  # constants of ours
        try:
            return int(self._execute(query)[0][0])
        except MISSING_TABLE:
            return 0

    def digests_after(self, newest: int) -> list[Any]:
        """Return id and body_sha256 of every row with a higher id, in the order of ids."""
        query = f"SELECT id, body_sha256 FROM {self._name} WHERE id > {newest} ORDER BY id"  # noqa: S608  # ours
        return self._execute(query)

    def query(self, statement: str) -> list[Any]:
        """Return the rows of any query."""
        return self._execute(statement)

    def wait_for(self, expected: int, *, timeout: float) -> int:
        """Look now and then until the table has so many rows; return how many it has then."""
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
        while not (first := self.count()):
            _pause(deadline, f"no row in {self._name}")
        started = time.monotonic()
        on_first()
        while (rows := self.count()) < expected:
            _pause(deadline, f"{rows} of {expected} rows in {self._name}")
        return Growth(rows - first, time.monotonic() - started, time.time())


@contextmanager
def event_table(url: str, name: str = PROCESSED) -> Iterator[EventTable]:
    """Open a connection of its own to the database of a table."""
    if url.startswith("sqlite"):
        with _sqlite(url.removeprefix("sqlite:///")) as execute:
            yield EventTable(execute, name)
    else:
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
            yield EventTable(lambda statement: connection.execute(statement.encode()).fetchall(), name)


@contextmanager
def _sqlite(path: str) -> Iterator[Callable[[str], list[Any]]]:
    connection = sqlite3.connect(path, isolation_level=None, timeout=10.0)
    try:
        yield lambda statement: connection.execute(statement).fetchall()
    finally:
        connection.close()


def _pause(deadline: float, shortage: str) -> None:
    if time.monotonic() > deadline:
        raise TimeoutError(shortage)
    time.sleep(POLL_SECONDS)
