"""End the connections that an abandoned thread still holds, and its locks with them.

A thread cannot be ended from outside, but what it holds in the database can: its transaction is rolled back
and whatever statement it tries afterwards fails.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import event, text

from workers.db.engine.transactions import transact

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection, Engine

END_MS: Final = 5_000
"""How long PostgreSQL may take to roll back and end one; it takes milliseconds."""

_END: Final = text("SELECT pg_terminate_backend(pid, :patience_ms) FROM pg_stat_activity WHERE pid = :pid")


class OpenConnections:
    """Knows which connections of an engine are in use.

    Args:
        engine: Used by one thread at a time, and by abandoned ones.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._in_use: dict[int, Any] = {}
        event.listen(engine, "checkout", self._on_checkout)
        event.listen(engine, "checkin", self._on_checkin)

    def end_all(self) -> None:
        """End them all; the engine goes on with new ones. Called by who takes over, before it uses any.

        Raises:
            RetryLaterError: The database does not answer; nobody can tell what is held there. Call again.
        """
        in_use = list(self._in_use.items())
        # The new pool has room for what the abandoned threads still occupy in the old one.
        self._engine.dispose()
        servers = [each for _, each in in_use if not isinstance(each, sqlite3.Connection)]
        if servers:
            pids = [each.info.backend_pid for each in servers if not each.closed]
            transact(self._engine, lambda connection: _end_backends(connection, pids))
        for key, each in in_use:
            if isinstance(each, sqlite3.Connection):
                _end_sqlite(each)
            self._in_use.pop(key, None)

    def _on_checkout(self, driver_connection: Any, record: Any, _proxy: Any) -> None:
        self._in_use[id(record)] = driver_connection

    def _on_checkin(self, _driver_connection: Any, record: Any) -> None:
        self._in_use.pop(id(record), None)


def _end_backends(connection: Connection, pids: Iterable[int]) -> None:
    for pid in pids:
        connection.execute(_END, {"pid": pid, "patience_ms": END_MS})


def _end_sqlite(connection: sqlite3.Connection) -> None:
    """Stop its statement, if one runs, and give back its lock."""
    with suppress(sqlite3.Error):
        connection.interrupt()
        connection.rollback()
        connection.close()
