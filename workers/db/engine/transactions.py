"""Run transactions on PostgreSQL or SQLite."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any, Final, TypeVar

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, DisconnectionError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from messaging.errors import ConfigurationError, RetryLaterError
from workers.db.engine.errors import CONFLICTS, sqlstate, translate
from workers.db.engine.prefetch import use_time_limit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import Connection

Result = TypeVar("Result")

WORKER_SESSION: Final[Mapping[str, str]] = {
    # A statement or a lock that takes longer is an outage, and the deliveries are held. Below
    # OM_HANDLER_SECONDS, so that a slow statement of a handler does not end its worker.
    "statement_timeout": "20s",
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


def make_engine(url: str, session: Mapping[str, str] = WORKER_SESSION) -> Engine:
    """Return an engine that connects when it is first used; its errors show no parameters of statements.

    Args:
        url: As OM_DATABASE_URL.
        session: PostgreSQL's settings for each session. In SQLite one that is read-only takes no lock.

    Raises:
        ConfigurationError: OM_DATABASE_URL is neither a PostgreSQL nor an SQLite address.
    """
    parsed = _parse(url)
    if parsed.get_backend_name() == "postgresql":
        options = " ".join(f"-c {name}={value}" for name, value in session.items())
        # A transaction asks for what it is given: READ COMMITTED, in which ON CONFLICT waits and sees.
        engine = create_engine(
            parsed,
            connect_args={**POSTGRESQL_OPTIONS, "options": options},
            isolation_level="READ COMMITTED",
            pool_size=2,
            max_overflow=0,
            pool_timeout=5.0,
            hide_parameters=True,
        )
        use_time_limit(engine)
        return engine
    engine = create_engine(parsed, connect_args={"timeout": SQLITE_BUSY_SECONDS}, hide_parameters=True)
    event.listen(engine, "connect", _prepare_sqlite)
    is_reader = session.get("default_transaction_read_only") == "on"
    event.listen(engine, "begin", _begin_reading if is_reader else _begin_immediate)
    return engine


def transact(engine: Engine, work: Callable[[Connection], Result]) -> Result:
    """Run *work* in one transaction; durable when this returns, without trace when it raises.

    Raises:
        RejectedEventError: A row is at fault; with more than one, try them apart.
        RetryLaterError: The database is at fault; hold what you have and try the same again.
        Exception: Whatever else *work* raises.
    """
    try:
        result: Result = _RETRYING(_transact_once, engine, work)
    except DBAPIError as error:
        fault = translate(error)
        if fault is error:
            raise
        raise fault from error
    except (PoolTimeoutError, DisconnectionError) as error:
        raise RetryLaterError(type(error).__name__) from error
    return result


def is_committable(connection: Connection) -> bool:
    """Return whether the transaction that was begun can still be committed.

    PostgreSQL takes COMMIT for a transaction in which a statement has failed, undoes it and says nothing.
    """
    driver_connection = connection.connection.driver_connection
    if isinstance(driver_connection, psycopg.Connection):
        return driver_connection.info.transaction_status is TransactionStatus.INTRANS
    return bool(getattr(driver_connection, "in_transaction", False))


def _transact_once(engine: Engine, work: Callable[[Connection], Result]) -> Result:
    with engine.begin() as connection:
        return work(connection)


_RETRYING: Final = Retrying(
    retry=retry_if_exception(lambda error: sqlstate(error) in CONFLICTS),
    stop=stop_after_attempt(CONFLICT_ATTEMPTS),
    wait=wait_random_exponential(multiplier=CONFLICT_SECONDS),
    reraise=True,
)


def _parse(url: str) -> URL:
    problem = ConfigurationError(
        "OM_DATABASE_URL must be like postgresql+psycopg://user:pass@host/name or sqlite:///path"
    )
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise problem from None
    if "@" in (parsed.host or ""):
        # The driver would quote the host, and with it a part of the password.
        raise ConfigurationError("OM_DATABASE_URL: write @ in user and password as %40")
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


def _begin_reading(connection: Connection) -> None:
    """Take no lock: a reader of a write-ahead log waits for nobody, and nobody waits for it."""
    connection.exec_driver_sql("BEGIN")


def _begin_immediate(connection: Connection) -> None:
    """Take the write lock at the start: a reader that turns writer fails at once when another was first."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")
