"""Reach the database of OM_DATABASE_URL, its failures told in words."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError

from messaging.environment import Environment
from messaging.errors import ConfigurationError, OpenMessagingError
from workers.db.engine import make_engine, translate
from workers.db.interventions import OPERATOR_SESSION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine


class DatabaseAwayError(OpenMessagingError):
    """Nothing was changed; bring the database back and run the command again."""


def database_url(environment: Environment) -> str:
    """Return OM_DATABASE_URL.

    Raises:
        ConfigurationError: It is not set.
    """
    url = environment.string("OM_DATABASE_URL")
    if not url:
        raise ConfigurationError(
            "OM_DATABASE_URL is not set: postgresql+psycopg://user:pass@host/name or sqlite:////path"
        )
    return url


@contextmanager
def operators_database() -> Iterator[Engine]:
    """Yield the database of the environment for a person's statements, its failures told in words.

    Raises:
        ConfigurationError: OM_DATABASE_URL is not set.
        DatabaseAwayError: The database does not answer or refuses.
    """
    engine = make_engine(database_url(Environment()), OPERATOR_SESSION)
    try:
        with in_words():
            yield engine
    finally:
        engine.dispose()


@contextmanager
def in_words() -> Iterator[None]:
    """Turn what a database driver raises within into one sentence, without the address and its password.

    Raises:
        DatabaseAwayError: The database does not answer or refuses.
    """
    try:
        yield
    except DBAPIError as error:
        reason = translate(error)
        raise DatabaseAwayError(
            f"the database of OM_DATABASE_URL does not answer or refuses ({reason}): "
            "is it running, are user, password and name right?"
        ) from error
