"""Grant a database role the right to read all data except bodies, tokens and the text of messages."""

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
    # om-observe and om-scaler count the rows of the following tables.
    "deliveries",
    "destinations",
    "reconciliation_gaps",
    "reconciliations",
    "routing_updates",
)
"""Tables without customers' texts. The role can read other tables only through views, if there are any."""

_EXISTS: Final = text("SELECT count(*) FROM pg_roles WHERE rolname = :role")
_VIEWS: Final = text(
    "SELECT viewname FROM pg_views WHERE schemaname = current_schema() AND viewname ~ '(^events|_v[0-9]+)$'"
    " ORDER BY viewname"
)
_HERE: Final = text("SELECT current_database(), current_schema()")


_INSUFFICIENT_PRIVILEGE: Final = "42501"


class NoRolesError(OpenMessagingError):
    """Let a superuser create the role first. On SQLite, protect the database's file with mode 0600."""


def grant_reading(url: str, role: str) -> list[str]:
    """Let a role connect and read READABLE and the views; revoke its other rights on the tables.

    Args:
        url: An address like OM_DATABASE_URL, whose user owns the tables.
        role: The role's name. A missing role is created without the right to log in; this needs CREATEROLE.

    Returns:
        The views and tables that the role may read.

    Raises:
        NoRolesError: The database is SQLite, or the role does not exist and the owner may not create it.
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
                # The installation revokes CONNECT from PUBLIC. Unless we own the database, GRANT only warns.
                f"GRANT CONNECT ON DATABASE {database} TO {name}",
                f"GRANT USAGE ON SCHEMA {schema} TO {name}",
                f"GRANT SELECT ON {', '.join(map(quote, readable))} TO {name}",
                # om-observe writes the counts of the edge's answers into this table.
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
