"""Grant a role the right to read everything except content: no body, no token, no text of a customer."""

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
    """A superuser must create the role first; in SQLite, protect the file itself by mode 0600."""


def grant_reading(url: str, role: str) -> list[str]:
    """Let a role connect and read views and tables without content, and revoke its other rights here.

    Args:
        url: As OM_DATABASE_URL, of the tables' owner.
        role: Created without a right to log in if it does not exist; that needs CREATEROLE.

    Returns:
        The views and tables that it may read.

    Raises:
        NoRolesError: The database is SQLite, or the role does not exist and its owner may not create roles.
    """
    engine = make_engine(url, PATIENT_SESSION)
    try:
        if engine.dialect.name != "postgresql":
            raise NoRolesError("SQLite has no roles: a user who can read the file can read everything")
        quote = engine.dialect.identifier_preparer.quote_identifier
        name = quote(role)
        with engine.begin() as connection:
            if not connection.execute(_EXISTS, {"role": role}).scalar_one():
                _create(connection, name)
            database, schema = map(quote, connection.execute(_HERE).one())
            readable = [*connection.scalars(_VIEWS), *READABLE]
            for statement in (
                f"REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM {name}",
                # The installation revokes it from PUBLIC. Without ownership of the database, it only warns.
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
            f"there is no role {name}, and the user of OM_DATABASE_URL may not create one. "
            f"Let a superuser run this statement, then repeat the command: CREATE ROLE {name} NOLOGIN"
        ) from error
