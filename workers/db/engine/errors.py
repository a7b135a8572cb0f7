"""Decide whether the database or an event caused a statement to fail.

Source: PostgreSQL, Appendix A, "PostgreSQL Error Codes"; SQLite, "Result and Error Codes".
"""

import re
import sqlite3
from typing import Final

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InterfaceError, OperationalError

from messaging.errors import RejectedEventError, RetryLaterError, StatementRefusedError

CONFLICTS: Final = frozenset({"40001", "40P01"})
"""SQLSTATEs serialization_failure and deadlock_detected: the transaction might succeed if repeated."""

OUTAGES: Final = ("08", "40", "53", "57", "58", "55P03")
"""SQLSTATE prefixes of faults that no row causes: connection, rollback, resources, operator, system, lock."""

QUERY_CANCELED: Final = "57014"
"""SQLSTATE of a statement that exceeded statement_timeout or that an operator cancelled."""

FAILED_TRANSACTION: Final = "25P02"
"""SQLSTATE of a statement in a failed transaction: a handler continued after its statement had failed."""

MISSING_SCHEMA: Final = frozenset({"42P01", "42703"})
"""SQLSTATEs undefined_table and undefined_column: the database is not migrated."""

MISSING_PERMISSION: Final = "42501"
"""SQLSTATE insufficient_privilege: the database's user lacks a permission."""

ROW_FAULTS: Final = ("22", "23", "54")
"""SQLSTATE classes of errors that a row causes: data exception, integrity violation, limit exceeded."""

_SQLITE_OUTAGES: Final = re.compile(
    "SQLITE_(BUSY|CANTOPEN|CORRUPT|FULL|INTERRUPT|IOERR|LOCKED|NOMEM|NOTADB|PROTOCOL|READONLY)"
)
"""Matches the start of the name of a SQLite error that is caused by the database, not by an event."""

_SQLITE_MISSING_SCHEMA: Final = re.compile(r"no such (table|column)|has no column named")
"""Matches an error's text, because SQLite has only one error code for all mistakes in a statement."""


def sqlstate(error: BaseException | None) -> str | None:
    """Return PostgreSQL's code for a failed statement; None if there is none, as after a lost connection."""
    return getattr(error.orig, "sqlstate", None) if isinstance(error, DBAPIError) else None


def is_outage(error: BaseException) -> bool:
    """Return whether the database is away, busy or full, which would make any other statement fail too."""
    if not isinstance(error, DBAPIError):
        return False
    if error.connection_invalidated:
        return True
    if (state := sqlstate(error)) is not None:
        return state.startswith(OUTAGES)
    if isinstance(error.orig, sqlite3.Error):
        return _SQLITE_OUTAGES.match(getattr(error.orig, "sqlite_errorname", "")) is not None
    # psycopg itself raised the error. These two classes mean that the statement did not reach the server.
    return isinstance(error, OperationalError | InterfaceError)


def error_code(error: DBAPIError) -> str:
    """Return a database error's code or, if it has none, its type; the error's text would quote the row."""
    if (state := sqlstate(error)) is not None:
        return f"SQLSTATE {state}"
    return str(getattr(error.orig, "sqlite_errorname", type(error.orig).__name__))


def translate(error: DBAPIError) -> Exception:
    """Return our own error for a failed statement, without the original text, which quotes the row.

    If the result is a RejectedEventError, a row is at fault: try the rows one by one. Do the same if the
    result is *error* itself, because a handler has left the transaction unusable.
    """
    state = sqlstate(error)
    if state == FAILED_TRANSACTION:
        return error
    code = error_code(error)
    is_row_fault = state.startswith(ROW_FAULTS) if state else isinstance(error, IntegrityError | DataError)
    if is_row_fault:
        return RejectedEventError("refused_by_database", f"database: refused the row ({code})")
    is_sqlite = isinstance(error.orig, sqlite3.Error)
    if state in MISSING_SCHEMA or (is_sqlite and _SQLITE_MISSING_SCHEMA.search(str(error.orig))):
        return RetryLaterError(f"{code}: a table or a column is missing, run `omctl migrate`")
    if state == MISSING_PERMISSION:
        code += ": the database's user lacks a permission"
    return RetryLaterError(code) if is_outage(error) else StatementRefusedError(code)
