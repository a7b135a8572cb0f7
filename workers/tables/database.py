"""Run transactions, and say of each failure whose fault it is: the event's, or the database's."""

from __future__ import annotations

import random
import sqlite3
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from messaging.errors import ConfigurationError, RejectedEventError, RetryLaterError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import Connection

Result = TypeVar("Result")

WORKER_SESSION: Final[Mapping[str, str]] = {
    # A statement or a lock that takes so long is an outage, and the deliveries are held; without a limit
    # the worker would hang with it.
    "statement_timeout": "30s",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "60s",
    # Every statement here reaches at most a batch of rows by their keys. A plan made for a table that was
    # small yesterday, with a scan of all of it, stays with a prepared statement until the table is analyzed.
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}
"""What a worker's sessions with PostgreSQL run under."""

POSTGRESQL_OPTIONS: Final = {
    # A database that does not answer must not be waited for longer than one that is away.
    "connect_timeout": 5,
    # A host that vanished without a word is noticed in half a minute and not in two hours.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}

UNHEX_SINCE: Final = (3, 41)
"""SQLite's own function; Debian 12 still ships 3.40."""

SQLITE_BUSY_SECONDS: Final = 10.0
"""How long a worker waits for the one writer that SQLite allows."""

CONFLICT_ATTEMPTS: Final = 5
CONFLICT_SECONDS: Final = 0.05
"""Two transactions that met in a deadlock shall not meet again at once."""

CONFLICTS: Final = frozenset({"40001", "40P01"})
"""serialization_failure, deadlock_detected: the same transaction may well pass the next time."""

ROW_FAULTS: Final = frozenset({"22", "23", "54"})
"""Classes of SQLSTATE that are one row's fault: data exception, integrity violation, limit exceeded.

Every other class (connection, resources, operator intervention, missing tables, missing rights …) would fail
for any event: the events are held until it is mended.

Source: PostgreSQL, Appendix A, "PostgreSQL Error Codes".
"""


def engine_of(url: str, session: Mapping[str, str] = WORKER_SESSION) -> Engine:
    """Return an engine that connects when it is first used.

    Args:
        url: As OM_DATABASE_URL.
        session: PostgreSQL's settings for each session.

    Raises:
        ConfigurationError: OM_DATABASE_URL is neither a PostgreSQL nor an SQLite address.
    """
    parsed = _parse(url)
    if parsed.get_backend_name() == "postgresql":
        options = " ".join(f"-c {name}={value}" for name, value in session.items())
        # A transaction asks for what it is given: READ COMMITTED, in which ON CONFLICT waits and sees.
        return create_engine(
            parsed,
            connect_args={**POSTGRESQL_OPTIONS, "options": options},
            isolation_level="READ COMMITTED",
            pool_size=2,
            max_overflow=0,
            pool_timeout=5.0,
        )
    engine = create_engine(parsed, connect_args={"timeout": SQLITE_BUSY_SECONDS})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_immediate)
    return engine


def transact(engine: Engine, work: Callable[[Connection], Result]) -> Result:
    """Run *work* in one transaction; durable when this returns, without trace when it raises.

    Raises:
        RejectedEventError: A row is at fault; with more than one, try them apart.
        RetryLaterError: The database is at fault; hold what you have and try the same again.
    """
    attempt = 0
    while True:
        attempt += 1
        try:
            with engine.begin() as connection:
                return work(connection)
        except DBAPIError as error:
            if _sqlstate_of(error) not in CONFLICTS or attempt == CONFLICT_ATTEMPTS:
                raise translated(error) from error
            time.sleep(random.uniform(0, CONFLICT_SECONDS * attempt))  # noqa: S311  # spreads workers out
        except SQLAlchemyError as error:
            # The pool's own, such as no free connection in time.
            raise RetryLaterError(type(error).__name__) from error


def translated(error: DBAPIError) -> RejectedEventError | RetryLaterError:
    """Say whose fault a driver's error is, without repeating its text: it quotes the row."""
    state = _sqlstate_of(error)
    if state is not None:
        if state[:2] in ROW_FAULTS:
            return RejectedEventError("refused_by_database", f"database: refuses the row, SQLSTATE {state}")
        return RetryLaterError(f"SQLSTATE {state}")
    if isinstance(error.orig, sqlite3.IntegrityError | sqlite3.DataError):
        name = getattr(error.orig, "sqlite_errorname", "SQLITE_CONSTRAINT")
        return RejectedEventError("refused_by_database", f"database: refuses the row, {name}")
    return RetryLaterError(getattr(error.orig, "sqlite_errorname", type(error.orig).__name__))


def _sqlstate_of(error: DBAPIError) -> str | None:
    return getattr(error.orig, "sqlstate", None)


def _parse(url: str) -> URL:
    problem = ConfigurationError(
        "OM_DATABASE_URL must be like postgresql+psycopg://user:pass@host/name or sqlite:///path"
    )
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise problem from None
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername not in {"postgresql+psycopg", "sqlite", "sqlite+pysqlite"}:
        raise problem
    return parsed


def _prepare_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    """Let readers and one writer work at once, survive a killed process, and leave BEGIN to us."""
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode = WAL")
    # FULL syncs the log at each commit: what is acknowledged to the broker survives a power cut.
    connection.execute("PRAGMA synchronous = FULL")
    if sqlite3.sqlite_version_info < UNHEX_SINCE:
        connection.create_function("unhex", 1, bytes.fromhex, deterministic=True)


def _begin_immediate(connection: Connection) -> None:
    """Take the write lock at the start: a reader that turns writer fails at once when another was first."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")
