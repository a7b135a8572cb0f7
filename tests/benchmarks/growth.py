"""Measure how the number of existing rows affects the rate of intake."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.benchmarks.intake import Trial, work_off
from tests.benchmarks.table import event_table, execute

if TYPE_CHECKING:
    from tests.benchmarks.rig import Rig

SMALL: Final = 10_000
EVENTS_PER_ROUND: Final = 20_000

FILL: Final = (
    "SET maintenance_work_mem = '1GB'",
    "SET synchronous_commit = off",
    "UPDATE pg_index SET indisready = false WHERE indrelid = 'processed_events'::regclass",
    """
    CREATE TEMPORARY TABLE filler AS
    SELECT n, gen_random_uuid()::text AS id, timestamptz '2025-01-01 00:00Z' + n * interval '1 second' AS t
    FROM generate_series(1, %(rows)s / 10) AS n
    """,
    """
    INSERT INTO processed_events (idempotency_key, conversation_id, event_type, outcome, occurred_at,
                                  received_at, processed_at, message_id, source, dialect, body_sha256)
    SELECT id || ':' || (1.6e15 + n)::bigint || ':message:id-' || gen_random_uuid(), id,
           'openmessaging:conversation:message', 'processed', t, t, t, 'fill-' || n || '-' || e, 'webhook',
           'guide', sha256(id::bytea)
    FROM filler, generate_series(1, 10) AS e
    """,
    """
    INSERT INTO conversations (conversation_id, status, routing_sequence, event_count, message_count,
                               first_event_at, last_event_at, updated_at)
    SELECT id, 'started', 0, 10, 10, t, t, t FROM filler
    """,
    "UPDATE pg_index SET indisready = true WHERE indrelid = 'processed_events'::regclass",
    "REINDEX TABLE processed_events",
    "VACUUM ANALYZE processed_events, conversations",
    "CHECKPOINT",
)
"""Statements that fill the tables with conversations of ten events each.

The conversations have random UUIDs, which are scattered over the indexes. The indexes are built at the end,
which saves hours but leaves their pages full, so that the measured events split more pages than usual.

Payloads and messages are left out, because their tables grow only at the end, regardless of existing rows.
"""


def measure_growth(rig: Rig) -> None:
    """Measure intake of the same events with a small table, and then with each of the larger tables."""
    urls = {rows: filled(rig, rows) for rows in (SMALL, *rig.plan.table_rows)}
    for number in range(rig.plan.rounds):
        rig.results.round = number + 1
        bodies = rig.requests.bodies(EVENTS_PER_ROUND, number * EVENTS_PER_ROUND)
        for rows, url in urls.items():
            before = _wal_bytes(url)
            work_off(rig, Trial("growth", subject_of(rows), url), bodies)
            wal = (_wal_bytes(url) - before) / EVENTS_PER_ROUND
            rig.results.add("growth", subject_of(rows), wal_bytes_per_event=wal)


def subject_of(rows: int) -> str:
    """Return the name under which a table with *rows* rows is reported."""
    return f"rows_{rows}"


def _wal_bytes(url: str) -> float:
    """Return the number of bytes that the server has written to its write-ahead log so far.

    When a page changes for the first time after a checkpoint, the server writes the whole page to the log.
    With random keys, each event changes a different page, so this cost is the first to rise as a table grows.
    """
    with event_table(url) as table:
        return float(table.query("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")[0][0])


def filled(rig: Rig, rows: int) -> str:
    """Return the URL of a database whose tables already have *rows* rows."""
    rig.say(f"growth: filling in {rows} rows")
    url = rig.migrated()
    execute(url, FILL, rows=rows)
    return url
