"""Run statements and transactions on PostgreSQL or SQLite, and say whose fault a failure is."""

from workers.db.engine.database_clock import DatabaseClock
from workers.db.engine.faults import QUERY_CANCELED, is_outage, name_of, sqlstate_of, translated
from workers.db.engine.open_connections import OpenConnections
from workers.db.engine.rowset import (
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
from workers.db.engine.transactions import engine_of, is_committable, transact
from workers.db.engine.waiting_time import work_while_waiting

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
