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
from workers.db.engine.prefetch import PrefetchingConnection

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

SCHEMA_REVISION: Final = "0001"
"""Newest migration that this version needs; a test compares it with the migrations. Revisions are texts."""

WORKER_SESSION: Final[Mapping[str, str]] = {
    # A statement or a lock that takes longer is an outage, and the deliveries are held. Both are shorter than
    # HANDLER_SECONDS (workers/bootstrap.py), so that a slow statement of a handler does not end its worker.
    "statement_timeout": "20s",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "60s",
    # Every statement here finds at most a batch of rows by their keys. A prepared statement would otherwise
    # keep a plan that scans the whole table, made while the table was small, until the table is analyzed.
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}
"""Settings of a worker's sessions on PostgreSQL."""

PATIENT_SESSION: Final[Mapping[str, str]] = {"lock_timeout": "10s"}
"""Settings of sessions whose statements may read a whole table: operators', retention, migrations."""

POSTGRESQL_OPTIONS: Final = {
    # Give up on a database that does not answer as quickly as on one that is away.
    "connect_timeout": 5,
    # Notice within half a minute instead of two hours that a host has disappeared.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}

UNHEX_SINCE: Final = (3, 41)
"""The first version of SQLite with a function unhex(); Debian 12 still ships 3.40."""

SQLITE_BUSY_SECONDS: Final = 10.0
"""How long a worker waits for SQLite's write lock, which only one connection can hold."""

_RETRY_CONFLICTS: Final = Retrying(
    retry=retry_if_exception(lambda error: sqlstate(error) in CONFLICTS),
    stop=stop_after_attempt(5),
    # Two transactions that met in a deadlock must not meet again at once.
    wait=wait_random_exponential(multiplier=0.05),
    reraise=True,
)


def make_engine(url: str, session: Mapping[str, str] = WORKER_SESSION) -> Engine:
    """Return an engine that connects when it is first used; its errors show no parameters of statements.

    *session* has settings for PostgreSQL. On SQLite, a read-only session takes no lock. A URL of any other
    database raises a ConfigurationError.
    """
    parsed = _parse(url)
    if parsed.get_backend_name() == "postgresql":
        options = " ".join(f"-c {name}={value}" for name, value in session.items())
        engine = create_engine(
            parsed,
            connect_args={**POSTGRESQL_OPTIONS, "options": options},
            # ON CONFLICT waits for other transactions and sees their rows.
            isolation_level="READ COMMITTED",
            pool_size=2,
            max_overflow=0,
            pool_timeout=5.0,
            hide_parameters=True,
        )
        connect = PrefetchingConnection.connect
        event.listen(engine, "do_connect", lambda _dialect, _record, given, named: connect(*given, **named))
        return engine
    engine = create_engine(parsed, connect_args={"timeout": SQLITE_BUSY_SECONDS}, hide_parameters=True)
    # Take the write lock at the start: a reader that becomes a writer fails at once if another was first.
    # Readers of a write-ahead log take no lock and delay no other transaction.
    is_reader = session.get("default_transaction_read_only") == "on"
    begin = "BEGIN" if is_reader else "BEGIN IMMEDIATE"
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    return engine


def check_schema(engine: Engine) -> None:
    """Refuse a database that is not migrated, or only by an older version; a newer one is accepted.

    Raises:
        ConfigurationError: Run `omctl migrate`.
        RetryLaterError: The database is away.
    """
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
    """Run *work* in one transaction, which is durable on return and leaves no trace if this raises.

    Raises:
        RejectedEventError: A row is at fault; if there are several rows, try them separately.
        RetryLaterError: The database is at fault; hold everything and try the same work again.
        Exception: Any other exception of *work*.
    """

    def run() -> Result:
        with engine.begin() as connection:
            return work(connection, *arguments, **options)

    try:
        result: Result = _RETRY_CONFLICTS(run)
    except DBAPIError as error:
        fault = translate(error)
        if fault is error:
            raise
        raise fault from error
    except (PoolTimeoutError, DisconnectionError) as error:
        raise RetryLaterError(type(error).__name__) from error
    return result


def is_committable(connection: Connection) -> bool:
    """Return whether the transaction can still be committed.

    PostgreSQL accepts COMMIT for a transaction in which a statement has failed, and rolls it back without an
    error.
    """
    driver_connection = connection.connection.driver_connection
    if isinstance(driver_connection, psycopg.Connection):
        return driver_connection.info.transaction_status is TransactionStatus.INTRANS
    return bool(getattr(driver_connection, "in_transaction", False))


def _read_revision(connection: Connection) -> str | None:
    """Return the revision that Alembic has recorded; None if it has recorded none."""
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
        # The driver would quote the host, and with it a part of the password.
        raise ConfigurationError("OM_DATABASE_URL: write @ in user and password as %40")
    if parsed.drivername == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername not in {"postgresql+psycopg", "sqlite", "sqlite+pysqlite"}:
        raise ConfigurationError(
            "OM_DATABASE_URL must be like postgresql+psycopg://user:pass@host/name or sqlite:///path"
        )
    return parsed


def _prepare_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    """Let readers and one writer work concurrently, survive a killed process, and leave BEGIN to us."""
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode = WAL")
    # FULL syncs the log at each commit: what is acknowledged to the broker survives a power cut.
    connection.execute("PRAGMA synchronous = FULL")
    if sqlite3.sqlite_version_info < UNHEX_SINCE:
        connection.create_function("unhex", 1, bytes.fromhex, deterministic=True)
