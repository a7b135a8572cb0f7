"""Measure what rows that are already there cost: the intake's rate, and bytes per event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import psycopg

from tests.benchmarks.event_table import PROCESSED
from tests.benchmarks.intake import Trial, work_off
from tests.benchmarks.servers import migrate

if TYPE_CHECKING:
    from tests.benchmarks.rig import Rig

SCENARIO: Final = "growth"
SMALL: Final = "10 thousand rows"
LARGE: Final = "5 million rows"
SMALL_ROWS: Final = 10_000
EVENTS_PER_ROUND: Final = 20_000

FILL: Final = f"""
    INSERT INTO {PROCESSED} (idempotency_key, conversation_id, event_type, outcome, occurred_at, received_at,
                             processed_at, message_id, source, dialect, body_sha256)
    SELECT c || ':' || (1.6e15 + n)::bigint || ':message:id-' || md5(n::text), c,
           'openmessaging:conversation:message', 'processed', t, t, t, 'fill-' || n, 'webhook', 'guide',
           sha256(n::text::bytea)
    FROM (SELECT n, md5((n / 10)::text)::uuid::text AS c,
                 timestamptz '2025-01-01 00:00Z' + n * interval '1 millisecond' AS t
          FROM generate_series(1, %(rows)s) AS n) AS filler
"""  # noqa: S608  # a constant of ours
"""Keys look like real ones and scatter over the index as conversations do, which is the costly case."""


def measure_growth(rig: Rig) -> None:
    """Let the intake work the same events off on a small and on a large table in turn."""
    urls = {SMALL: _filled(rig, SMALL_ROWS), LARGE: _filled(rig, rig.plan.large_table_rows)}
    for number in range(rig.plan.rounds):
        bodies = rig.bodies((number + 1) * EVENTS_PER_ROUND)[-EVENTS_PER_ROUND:]
        for subject, url in urls.items():
            work_off(rig, Trial(SCENARIO, subject, url, {}), bodies)
    for subject, url in urls.items():
        rig.results.add(SCENARIO, subject, bytes_per_event=_bytes_per_event(url))


def _filled(rig: Rig, rows: int) -> str:
    """Return a database whose table already has so many rows."""
    rig.say(f"growth: filling in {rows} rows")
    url = rig.fresh_database()
    migrate(url)
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(FILL.encode(), {"rows": rows})
        connection.execute(f"VACUUM ANALYZE {PROCESSED}".encode())
        connection.execute(b"CHECKPOINT")
    return url


def _bytes_per_event(url: str) -> float:
    """Return what all tables and indexes take, divided by the events that they hold."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        size = connection.execute(
            b"SELECT sum(pg_total_relation_size(oid)) FROM pg_class"
            b" WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        ).fetchone()
        rows = connection.execute(b"SELECT count(*) FROM processed_events").fetchone()
    assert size is not None
    assert rows is not None
    return float(size[0]) / int(rows[0])
