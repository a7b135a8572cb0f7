"""Open the connections that commands need: to the database, the dead-letter queue and the platform."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Concatenate, Final, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from messaging.admin import DeadLetterQueue, lock_dead_letters
from messaging.environment import Environment
from messaging.errors import ConfigurationError, OpenMessagingError, RetryLaterError, StatementRefusedError
from workers.db.engine import PATIENT_SESSION, DatabaseClock, make_engine, transact
from workers.genesys import GenesysClient, RequestBudget, read_genesys_settings

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

_FAULTS: Final = (
    # A pattern for the code or text of the driver's error; then its meaning and remedy.
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
        "does not permit this to its user: run the command with the service's settings, or grant the right",
    ),
    (
        "authentication failed|28p01|28000|no password supplied",
        "refuses the user or the password: correct them in OM_DATABASE_URL",
    ),
    ('" does not exist|3d000', "does not exist on its server: correct the name, or create it"),
    ("55p03|database is locked", "is locked by another process: run the command again later"),
    (
        "unable to open",
        "cannot be opened: check that its directory exists and that this user may write there",
    ),
    ("not a database", "is not an SQLite database: correct the path in OM_DATABASE_URL"),
    ("timeout", "does not answer in time: check whether it hangs, and restart it"),
    ("", "does not answer: check that it runs, and the host and port in OM_DATABASE_URL"),
)


class DatabaseUnavailableError(OpenMessagingError):
    """Nothing was changed. Follow the advice in the text and run the command again."""


def database_url(environment: Environment) -> str:
    """Return OM_DATABASE_URL, which must be set."""
    url = environment.string("OM_DATABASE_URL")
    if not url:
        raise ConfigurationError(
            "OM_DATABASE_URL is not set: postgresql+psycopg://user:pass@host/name or sqlite:////path"
        )
    return url


def health_url(bind: str) -> str | None:
    """Return the readiness URL of the edge bound to *bind*, None for a socket file."""
    if bind.startswith(("unix:", "fd:")):
        return None
    host, _, port = bind.rpartition(":")
    reachable = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)  # noqa: S104  compared, not bound
    return f"http://{reachable}:{port}/health/ready"


@contextmanager
def open_database(session: Mapping[str, str] = PATIENT_SESSION) -> Iterator[Engine]:
    """Yield an engine for OM_DATABASE_URL; report a failure of the database in one sentence."""
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
    """Return the result of one transaction in the database of OM_DATABASE_URL."""
    with open_database() as engine:
        return transact(engine, work, *arguments, **options)


@contextmanager
def friendly_errors() -> Iterator[None]:
    """Turn a failure of the database into one sentence, without its address and password."""
    try:
        yield
    except DBAPIError as error:
        raise DatabaseUnavailableError(_explain(error)) from error
    except (RetryLaterError, StatementRefusedError) as error:
        # The same error also reports an unavailable broker or platform.
        if not isinstance(error.__cause__, SQLAlchemyError):
            raise
        raise DatabaseUnavailableError(_explain(error.__cause__)) from error


def _explain(error: BaseException) -> str:
    driver_error = getattr(error, "orig", error)
    code = getattr(driver_error, "sqlstate", None) or ""
    text = f"{code} {type(driver_error).__name__} {driver_error}".lower()
    meaning = next(meaning for marks, meaning in _FAULTS if re.search(marks, text))
    return f"the database of OM_DATABASE_URL {meaning}"


@dataclass(frozen=True, slots=True)
class DeadLetterSession:
    """The dead-letter queue with its publisher, and the database with the records and its clock."""

    queue: DeadLetterQueue
    engine: Engine
    clock: DatabaseClock


@contextmanager
def open_dead_letters() -> Iterator[DeadLetterSession]:
    """Yield the dead-letter queue of OM_AMQP_URL, locked so that no other omctl can open it meanwhile."""
    urls = Environment().strings("OM_AMQP_URL")
    with open_database() as engine, lock_dead_letters(urls, client_name="omctl dead-letters") as queue:
        yield DeadLetterSession(queue, engine, DatabaseClock(engine))


@contextmanager
def open_platform(environment: Environment) -> Iterator[GenesysClient]:
    """Yield a client of the platform, within the request budget that all hosts share."""
    settings = read_genesys_settings(environment)
    if settings is None:
        raise ConfigurationError(
            "OM_GENESYS_REGION is not set: set it to the organisation's region, with OM_GENESYS_CLIENT_ID "
            "and OM_GENESYS_CLIENT_SECRET"
        )
    if not environment.string("OM_DATABASE_URL"):
        # A host that runs only the edge has no database; its few requests are not counted.
        yield GenesysClient(settings, None)
        return
    with open_database() as engine:
        limit = settings.requests_per_minute
        yield GenesysClient(settings, RequestBudget(engine, settings.client_id, limit, DatabaseClock(engine)))
