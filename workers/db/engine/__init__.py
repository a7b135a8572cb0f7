"""Run statements and transactions on PostgreSQL or SQLite, and decide what caused a failure.

`bulk` runs statements for all events of a batch; all other statements use SQLAlchemy.
"""

from workers.db.engine.bulk import BulkStatement, column_kinds, insert_into
from workers.db.engine.database_clock import DatabaseClock
from workers.db.engine.errors import (
    MISSING_PERMISSION,
    QUERY_CANCELED,
    error_code,
    is_outage,
    sqlstate,
    translate,
)
from workers.db.engine.prefetch import prefetch_while_waiting
from workers.db.engine.transactions import (
    DELIVER_SESSION,
    PATIENT_SESSION,
    SCHEMA_REVISION,
    WORKER_SESSION,
    check_schema,
    is_committable,
    make_engine,
    transact,
)
