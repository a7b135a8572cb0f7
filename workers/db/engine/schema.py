"""Check that the database has the tables that this version needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import inspect, text

from messaging.errors import ConfigurationError
from workers.db.engine.transactions import transact

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

SCHEMA_REVISION: Final = "0001"
"""Newest migration that this version needs; a test compares it with those that exist. It sorts as text."""


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


def _read_revision(connection: Connection) -> str | None:
    """Return the revision that Alembic has recorded; None if there is none."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.scalar(text("SELECT max(version_num) FROM alembic_version"))
    return revision
