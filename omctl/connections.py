"""Open the connections that commands need: to the database, the dead-letter queue and the platform."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Concatenate, Final, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from messaging.admin import DeadLetterQueue, lock_dead_letters
from messaging.environment import Environment
from messaging.errors import ConfigurationError, OpenMessagingError, RetryLaterError, StatementRefusedError
from workers.db.engine import PATIENT_SESSION, DatabaseClock, make_engine, transact

if TYPE_CHECKING:
    from workers.genesys import GenesysClient

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

_FAULTS: Final = (
    # Each entry is a pattern for the code or text of the driver's error, with the error's meaning and remedy.
    (
        "42p01|42703|no such table|no such column",
        "does not have the tables of this version: run `omctl migrate`",
    ),
    (
        "25006|readonly database|read-only",
        "is read-only: connect to the primary server, or make the file writable for this user",
    ),
    (
        "42501|permission denied",
        "does not let its user do this: run the command with the service's settings, or grant the right",
    ),
    (
        "authentication failed|28p01|28000|no password supplied",
        "rejects the user name or password: correct it in OM_DATABASE_URL",
    ),
    ('" does not exist|3d000', "does not exist on its server: correct the name, or create it"),
    ("55p03|database is locked", "is locked by another process: run the command again later"),
    (
        "unable to open",
        "cannot be opened: check that its directory exists and that this user may write there",
    ),
    ("not a database", "is not an SQLite database: correct the path in OM_DATABASE_URL"),
    (
        "53300|too many clients|slots are reserved|57p03|starting up",
        "takes no more connections or still starts: run the command again later",
    ),
    ("53100|disk is full|no space", "has no space left on its disk: enlarge the disk, or delete other files"),
    ("57014", "cancelled a query that took too long: run it again later, or raise statement_timeout there"),
    ("timeout", "does not answer in time: check whether it hangs, and restart it"),
    ("", "does not answer: check that it runs and that OM_DATABASE_URL has the right host and port"),
)


class DatabaseUnavailableError(OpenMessagingError):
    """Nothing was changed. Follow the advice in the message, and run the command again."""


def database_url(environment: Environment) -> str:
    """Return OM_DATABASE_URL, which must be set."""
    url = environment.string("OM_DATABASE_URL")
    if not url:
        forms = "postgresql+psycopg://user:pass@host/name or sqlite:////path"
        raise ConfigurationError(f"OM_DATABASE_URL is not set: {forms}")
    return url


def health_url(bind: str) -> str | None:
    """Return the readiness URL of the edge bound to *bind*, or None for a Unix socket or file descriptor."""
    if bind.startswith(("unix:", "fd:")):
        return None
    host, _, port = bind.rpartition(":")
    reachable = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)  # noqa: S104  compared, not bound
    return f"http://{reachable}:{port}/health/ready"


@contextmanager
def open_database(session: Mapping[str, str] = PATIENT_SESSION) -> Iterator[Engine]:
    """Yield an engine for OM_DATABASE_URL, and turn any database error into a DatabaseUnavailableError."""
    engine = make_engine(database_url(Environment()), session)
    try:
        with friendly_errors():
            yield engine
    finally:
        engine.dispose()


def in_database(
    work: Callable[Concatenate[Connection, Arguments], Result],
    *arguments: Arguments.args,
    **options: Arguments.kwargs,
) -> Result:
    """Run *work* in one transaction on the database at OM_DATABASE_URL, and return its result."""
    with open_database() as engine:
        return transact(engine, work, *arguments, **options)


@contextmanager
def friendly_errors() -> Iterator[None]:
    """Turn a database error into one sentence without the database's address or password."""
    try:
        yield
    except (DBAPIError, RetryLaterError, StatementRefusedError) as error:
        cause = error if isinstance(error, DBAPIError) else error.__cause__
        if not isinstance(cause, SQLAlchemyError):
            # The database is not the cause: RetryLaterError also reports an unavailable broker or platform.
            raise
        driver_error = getattr(cause, "orig", cause)
        code = getattr(driver_error, "sqlstate", None) or ""
        text = f"{code} {type(driver_error).__name__} {driver_error}".lower()
        meaning = next(meaning for marks, meaning in _FAULTS if re.search(marks, text))
        raise DatabaseUnavailableError(f"the database of OM_DATABASE_URL {meaning}") from error


@dataclass(frozen=True, slots=True)
class DeadLetterSession:
    """The dead-letter queue, with the engine and the clock of the database that records dead letters."""

    queue: DeadLetterQueue
    engine: Engine
    clock: DatabaseClock


@contextmanager
def open_dead_letters() -> Iterator[DeadLetterSession]:
    """Lock the dead-letter queue at OM_AMQP_URL, so that no other omctl process can open it, and yield it."""
    urls = Environment().strings("OM_AMQP_URL")
    with open_database() as engine, lock_dead_letters(urls, client_name="omctl dead-letters") as queue:
        yield DeadLetterSession(queue, engine, DatabaseClock(engine))


@contextmanager
def open_platform(environment: Environment) -> Iterator[GenesysClient]:
    """Yield a client of the platform's API. Its requests count against the budget that all hosts share."""
    from workers import genesys  # noqa: PLC0415  # slow to import, and most commands do not need it

    settings = genesys.read_genesys_settings(environment)
    if settings is None:
        raise ConfigurationError(
            "OM_GENESYS_REGION is not set: set it to the organisation's region, with OM_GENESYS_CLIENT_ID "
            "and OM_GENESYS_CLIENT_SECRET"
        )
    if not environment.string("OM_DATABASE_URL"):
        # A host that runs only the edge has no database, so its few requests are not counted.
        yield genesys.GenesysClient(settings, None)
        return
    with open_database() as engine:
        yield genesys.open_client(settings, engine, DatabaseClock(engine))
