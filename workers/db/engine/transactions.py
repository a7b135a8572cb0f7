"""Run transactions on PostgreSQL or SQLite, and refuse a database that is not migrated."""

import sqlite3
from collections.abc import Callable, Mapping
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, DisconnectionError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from messaging.errors import ConfigurationError, RetryLaterError
from workers.db.engine.errors import CONFLICTS, sqlstate, translate
from workers.db.engine.prefetch import PatientConnection, PrefetchingConnection

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

SCHEMA_REVISION: Final = "0001"
"""The newest migration that this version needs, as text; a test compares it with the migrations."""

UNCOMPILED: Final[Mapping[str, str]] = {"jit": "off"}
"""Stops PostgreSQL from compiling statements with a high estimated cost, which takes tens of milliseconds.
The estimate is far too high for scans with `enable_seqscan = off` and for our Bloom filters."""

WORKER_SESSION: Final[Mapping[str, str]] = {
    # A statement or a wait for a lock that exceeds its limit counts as an outage: deliveries are then held.
    # Both limits are below HANDLER_SECONDS (workers/bootstrap.py), so that a slow statement does not end a
    # worker.
    "statement_timeout": "20s",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "60s",
    # Workers find rows by their keys, for which an index is best. Without these settings, a prepared
    # statement could keep a plan that was made while the table was small and that scans the whole table.
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    **UNCOMPILED,
}
"""The workers' settings for PostgreSQL sessions."""

DELIVER_SESSION: Final[Mapping[str, str]] = {
    **WORKER_SESSION,
    # A plan made while few deliveries were waiting could read the whole backlog for each conversation.
    "plan_cache_mode": "force_custom_plan",
}
"""Deliver's settings for PostgreSQL sessions: each statement is planned for the deliveries waiting now."""

PATIENT_SESSION: Final[Mapping[str, str]] = {"lock_timeout": "10s", **UNCOMPILED}
"""Settings for PostgreSQL sessions of processes that may read a whole table, such as retain."""

POSTGRESQL_OPTIONS: Final = {
    # Without this timeout, a host that does not answer would block a connection attempt for minutes.
    "connect_timeout": 5,
    # Detect within half a minute, instead of two hours, that a host has disappeared.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}

SQLITE_BUSY_SECONDS: Final = 10.0
"""How long a worker waits for SQLite's write lock, which only one connection can hold."""

_RETRY_CONFLICTS: Final = Retrying(
    retry=retry_if_exception(lambda error: sqlstate(error) in CONFLICTS),
    stop=stop_after_attempt(5),
    # Wait a random time, so that two deadlocked transactions are not repeated at the same moment.
    wait=wait_random_exponential(multiplier=0.05),
    reraise=True,
)


def make_engine(url: str, session: Mapping[str, str] = WORKER_SESSION) -> Engine:
    """Return an engine that connects when it is first used; its errors do not show statements' parameters.

    *session* contains the settings of PostgreSQL sessions. On SQLite, a read-only session takes no write
    lock. The URL of any other database system raises a ConfigurationError.
    """
    parsed = _parse(url)
    if parsed.get_backend_name() == "postgresql":
        options = " ".join(f"-c {name}={value}" for name, value in session.items())
        engine = create_engine(
            parsed,
            connect_args={**POSTGRESQL_OPTIONS, "options": options},
            # At this level, ON CONFLICT waits for concurrent transactions and then sees their rows.
            isolation_level="READ COMMITTED",
            # om-observe reads the status page's data, a scrape's data and the newest canary concurrently.
            pool_size=3,
            max_overflow=0,
            pool_timeout=5.0,
            hide_parameters=True,
        )
        connect = (PrefetchingConnection if "statement_timeout" in session else PatientConnection).connect
        event.listen(engine, "do_connect", lambda _dialect, _record, given, named: connect(*given, **named))
        return engine
    engine = create_engine(parsed, connect_args={"timeout": SQLITE_BUSY_SECONDS}, hide_parameters=True)
    # Writers take the write lock at the start: a transaction that reads first and writes later fails if
    # another has written in between. With a write-ahead log, readers take no lock and delay no writer.
    is_reader = session.get("default_transaction_read_only") == "on"
    begin = "BEGIN" if is_reader else "BEGIN IMMEDIATE"
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    return engine


def check_schema(engine: Engine) -> None:
    """Raise ConfigurationError if the database has no tables, or tables of an older version."""
    revision = transact(engine, _read_revision)
    if revision is None or revision < SCHEMA_REVISION:
        found = f"is at revision {revision}" if revision else "has no tables"
        raise ConfigurationError(
            f"OM_DATABASE_URL: the database {found} and needs revision {SCHEMA_REVISION}: run `omctl migrate`"
        )


def transact(
    engine: Engine,
    work: Callable[Concatenate[Connection, Arguments], Result],
    *arguments: Arguments.args,
    **options: Arguments.kwargs,
) -> Result:
    """Run *work* in one transaction, which is durable on return and has no effect if an error is raised.

    `translate` turns a database error into one of ours; other exceptions from *work* are re-raised.
    """

    def run() -> Result:
        with engine.begin() as connection:
            return work(connection, *arguments, **options)

    try:
        return _RETRY_CONFLICTS(run)
    except DBAPIError as error:
        fault = translate(error)
        if fault is error:
            raise
        raise fault from error
    except (PoolTimeoutError, DisconnectionError) as error:
        raise RetryLaterError(type(error).__name__) from error


def is_committable(connection: Connection) -> bool:
    """Return whether COMMIT would succeed; after a failed statement, it would roll back without an error."""
    driver_connection = connection.connection.driver_connection
    if isinstance(driver_connection, psycopg.Connection):
        return driver_connection.info.transaction_status is TransactionStatus.INTRANS
    return bool(getattr(driver_connection, "in_transaction", False))


def _read_revision(connection: Connection) -> str | None:
    """Return the revision that Alembic has recorded in the database; None if there is none."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.scalar(text("SELECT max(version_num) FROM alembic_version"))
    return revision


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        parsed = URL.create("")
    if "@" in (parsed.host or ""):
        # An @ in the password moves part of it into the host name, which the driver would quote in errors.
        raise ConfigurationError("OM_DATABASE_URL: write @ in user and password as %40")
    if parsed.drivername == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername not in {"postgresql+psycopg", "sqlite", "sqlite+pysqlite"}:
        raise ConfigurationError(
            "OM_DATABASE_URL must be like postgresql+psycopg://user:pass@host/name or sqlite:///path"
        )
    return parsed


def _prepare_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    """Prepare a connection: readers run beside one writer, commits are durable, and our code sends BEGIN."""
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode = WAL")
    # FULL syncs the log at every commit, so that an event survives a power cut once it is acknowledged.
    connection.execute("PRAGMA synchronous = FULL")
    # Debian 12 still ships SQLite 3.40, which has no function unhex().
    if sqlite3.sqlite_version_info < (3, 41):
        connection.create_function("unhex", 1, bytes.fromhex, deterministic=True)
