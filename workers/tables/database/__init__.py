"""Run statements and transactions on PostgreSQL or SQLite, and say whose fault a failure is."""

from workers.tables.database.database_clock import DatabaseClock
from workers.tables.database.faults import QUERY_CANCELED, is_outage, name_of, sqlstate_of, translated
from workers.tables.database.open_connections import OpenConnections
from workers.tables.database.rowset import (
    BOOLEAN,
    BYTES,
    DIGEST,
    INTEGER,
    MOMENT,
    TEXT,
    RowStatement,
    insert_into,
    kinds_of,
)
from workers.tables.database.transactions import engine_of, is_committable, transact
from workers.tables.database.waiting_time import work_while_waiting

__all__ = [
    "BOOLEAN",
    "BYTES",
    "DIGEST",
    "INTEGER",
    "MOMENT",
    "QUERY_CANCELED",
    "TEXT",
    "DatabaseClock",
    "OpenConnections",
    "RowStatement",
    "engine_of",
    "insert_into",
    "is_committable",
    "is_outage",
    "kinds_of",
    "name_of",
    "sqlstate_of",
    "transact",
    "translated",
    "work_while_waiting",
]
