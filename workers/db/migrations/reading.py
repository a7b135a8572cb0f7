"""Give a role the rights to read what nobody wrote: no body, no token, no word of a customer."""

from typing import Final

from sqlalchemy import Connection, text
from sqlalchemy.exc import ProgrammingError

from messaging.errors import OpenMessagingError
from workers.db.engine import PATIENT_SESSION, make_engine

READABLE: Final = (
    "processed_events",
    "conversations",
    "message_receipts",
    "dead_letters",
    "suspects",
    "drift",
    "unstored_events",
    "worker_reports",
    "edge_statistics",
    "canaries",
    # What om-observe and om-scaler count.
    "deliveries",
    "destinations",
    "reconciliation_gaps",
    "reconciliations",
    "routing_updates",
)
"""Tables without content. What is not named here is read by its view, or not at all."""

_EXISTS: Final = text("SELECT count(*) FROM pg_roles WHERE rolname = :role")
_VIEWS: Final = text(
    "SELECT viewname FROM pg_views WHERE schemaname = current_schema() AND viewname ~ '(^events|_v[0-9]+)$'"
    " ORDER BY viewname"
)
_HERE: Final = text("SELECT current_database(), current_schema()")


_INSUFFICIENT_PRIVILEGE: Final = "42501"


class NoRolesError(OpenMessagingError):
    """Have the role made by whoever may, and try again; in SQLite give the file itself mode 0600."""


def grant_reading(url: str, role: str) -> list[str]:
    """Let a role connect and read views and tables without content, and take every other right here from it.

    Args:
        url: As OM_DATABASE_URL, of the tables' owner.
        role: Made, without a right to log in, where there is none; that needs CREATEROLE.

    Returns:
        What it may read.

    Raises:
        NoRolesError: The database is SQLite, or its owner may not make roles and there is none of that name.
    """
    engine = make_engine(url, PATIENT_SESSION)
    try:
        if engine.dialect.name != "postgresql":
            raise NoRolesError("SQLite has no roles: whoever may read the file reads everything")
        quote = engine.dialect.identifier_preparer.quote_identifier
        name = quote(role)
        with engine.begin() as connection:
            if not connection.execute(_EXISTS, {"role": role}).scalar_one():
                _create(connection, name)
            database, schema = map(quote, connection.execute(_HERE).one())
            readable = [*connection.scalars(_VIEWS), *READABLE]
            for statement in (
                f"REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM {name}",
                # The installation takes it from PUBLIC. Whoever does not own the database is only warned.
                f"GRANT CONNECT ON DATABASE {database} TO {name}",
                f"GRANT USAGE ON SCHEMA {schema} TO {name}",
                f"GRANT SELECT ON {', '.join(map(quote, readable))} TO {name}",
                # om-observe records the edge's answers: numbers that no other process reads.
                f"GRANT INSERT ON edge_statistics TO {name}",
            ):
                connection.execute(text(statement))
    finally:
        engine.dispose()
    return readable


def _create(connection: Connection, name: str) -> None:
    try:
        connection.execute(text(f"CREATE ROLE {name} NOLOGIN"))
    except ProgrammingError as error:
        if getattr(error.orig, "sqlstate", None) != _INSUFFICIENT_PRIVILEGE:
            raise
        raise NoRolesError(
            f"there is no role {name}, and the user of OM_DATABASE_URL may not make one. "
            f"Have a superuser do it, then run this again: CREATE ROLE {name} NOLOGIN"
        ) from error
