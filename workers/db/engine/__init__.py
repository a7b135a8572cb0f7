"""Run statements and transactions on PostgreSQL or SQLite, and say whose fault a failure is."""

from workers.db.engine.bulk import (
    BOOLEAN,
    BYTES,
    DIGEST,
    INTEGER,
    MOMENT,
    TEXT,
    BulkStatement,
    column_kinds,
    insert_into,
)
from workers.db.engine.database_clock import DatabaseClock
from workers.db.engine.errors import QUERY_CANCELED, error_code, is_outage, sqlstate, translate
from workers.db.engine.open_connections import OpenConnections
from workers.db.engine.transactions import is_committable, make_engine, transact
from workers.db.engine.waiting_time import work_while_waiting

__all__ = [
    "BOOLEAN",
    "BYTES",
    "DIGEST",
    "INTEGER",
    "MOMENT",
    "QUERY_CANCELED",
    "TEXT",
    "BulkStatement",
    "DatabaseClock",
    "OpenConnections",
    "column_kinds",
    "error_code",
    "insert_into",
    "is_committable",
    "is_outage",
    "make_engine",
    "sqlstate",
    "transact",
    "translate",
    "work_while_waiting",
]
