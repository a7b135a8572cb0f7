"""Decide whether a failure in the database is the database's fault or the event's.

Source: PostgreSQL, Appendix A, "PostgreSQL Error Codes"; SQLite, "Result and Error Codes".
"""

import re
import sqlite3
from typing import Final

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InterfaceError, OperationalError

from messaging.errors import RejectedEventError, RetryLaterError, StatementRefusedError

CONFLICTS: Final = frozenset({"40001", "40P01"})
"""serialization_failure, deadlock_detected: the same transaction may succeed if it is repeated."""

OUTAGES: Final = ("08", "40", "53", "57", "58", "55P03")
"""Prefixes of SQLSTATEs that no event causes: connection, rollback, resources, operator, system; and
lock_not_available."""

QUERY_CANCELED: Final = "57014"
"""A statement exceeded statement_timeout, or an operator cancelled it."""

FAILED_TRANSACTION: Final = "25P02"
"""A handler continued after one of its own statements had failed."""

MISSING_SCHEMA: Final = frozenset({"42P01", "42703"})
"""undefined_table, undefined_column: the database is not migrated."""

ROW_FAULTS: Final = ("22", "23", "54")
"""Classes of SQLSTATE that are one row's fault: data exception, integrity violation, limit exceeded."""

_SQLITE_OUTAGES: Final = re.compile(
    "SQLITE_(BUSY|CANTOPEN|CORRUPT|FULL|INTERRUPT|IOERR|LOCKED|NOMEM|NOTADB|PROTOCOL|READONLY)"
)
"""Matches the start of SQLite's names of failures that no event causes."""

_SQLITE_MISSING_SCHEMA: Final = re.compile(r"no such (table|column)|has no column named")
"""Matches the text of an error, because SQLite has one code for all mistakes in a statement."""


def sqlstate(error: BaseException) -> str | None:
    """Return PostgreSQL's code of a failed statement; None if there is none, as for a lost connection."""
    return getattr(error.orig, "sqlstate", None) if isinstance(error, DBAPIError) else None


def is_outage(error: BaseException) -> bool:
    """Return whether any statement would have failed, because the database is away, busy or full."""
    if not isinstance(error, DBAPIError):
        return False
    if error.connection_invalidated:
        return True
    state = sqlstate(error)
    if state is not None:
        return state.startswith(OUTAGES)
    if isinstance(error.orig, sqlite3.Error):
        return _SQLITE_OUTAGES.match(getattr(error.orig, "sqlite_errorname", "")) is not None
    # Errors of psycopg itself. These two mean that no statement reaches the server; others blame this one.
    return isinstance(error, OperationalError | InterfaceError)


def error_code(error: DBAPIError) -> str:
    """Return the code of a failure or, if it has none, its type, because its text would quote the row."""
    state = sqlstate(error)
    if state is not None:
        return f"SQLSTATE {state}"
    return str(getattr(error.orig, "sqlite_errorname", type(error.orig).__name__))


def translate(error: DBAPIError) -> Exception:
    """Translate the failure of one of our own statements, without its text, which quotes the row.

    Returns:
        RejectedEventError: A row is at fault; if there are several rows, try them separately.
        RetryLaterError: The database is away, busy, full or not migrated; hold everything and try again.
        StatementRefusedError: The database refuses the statement, perhaps for a missing permission. This may
            concern only one kind of event; if there are several items, try them separately.
        The error itself: A handler has left the transaction unusable; try the events separately.
    """
    state = sqlstate(error)
    if state == FAILED_TRANSACTION:
        return error
    code = error_code(error)
    is_row_fault = state.startswith(ROW_FAULTS) if state else isinstance(error, IntegrityError | DataError)
    if is_row_fault:
        return RejectedEventError("refused_by_database", f"database: refuses the row, {code}")
    is_sqlite = isinstance(error.orig, sqlite3.Error)
    if state in MISSING_SCHEMA or (is_sqlite and _SQLITE_MISSING_SCHEMA.search(str(error.orig))):
        return RetryLaterError(f"{code}: a table or a column is missing, run `omctl migrate`")
    return RetryLaterError(code) if is_outage(error) else StatementRefusedError(code)
