"""Queries that run often or for every batch read only a few rows of a large table."""

import pytest
from sqlalchemy import text

from messaging.clock import SystemClock
from tests.integration.workers.conftest import ON_POSTGRESQL
from workers.db.reconcile import Reconciliation, find_unread
from workers.settle.updates import lock_newest_due

ROWS = 5_000
READ = """
    SELECT coalesce(sum(pg_stat_get_xact_tuples_returned(indexrelid)), 0)::int
    FROM pg_index WHERE indrelid = CAST(:table AS regclass)"""
FILL = {
    "routing_updates": """
        INSERT INTO routing_updates (event_id, conversation_id, occurred_at, sequence, received_at,
            routing_status, waits_since, next_attempt_at)
        SELECT i, 'c-' || i, now(), 0, now(), 'CONTACT-QUEUED', now(), now() + interval '1 h'
        FROM generate_series(1, :rows) i""",
    "platform_conversations": """
        INSERT INTO platform_conversations (conversation_id, state, listed_at, differs)
        SELECT 'c-' || i, 'open', CASE WHEN i < :rows / 2 THEN now() - interval '9 days' ELSE now() END, false
        FROM generate_series(1, :rows) i""",
}
WEEK_US = 7 * 86_400_000_000


def find_update(connection, now_us):
    return lock_newest_due(connection, now_us, now_us)


def find_conversation(connection, now_us):
    comparison = Reconciliation(1, now_us - WEEK_US, now_us, None, now_us)
    return find_unread(connection, comparison, [], is_late=False)


@ON_POSTGRESQL
@pytest.mark.parametrize(
    ("table", "find", "is_found"),
    [("routing_updates", find_update, False), ("platform_conversations", find_conversation, True)],
)
def test_rows_that_are_not_due_are_passed_over_and_others_are_not_sorted(engine, table, find, is_found):
    with engine.begin() as connection:
        connection.execute(text(FILL[table]), {"rows": ROWS})
        connection.execute(text(f"ANALYZE {table}"))
    with engine.begin() as connection:
        before = connection.scalar(text(READ), {"table": table})
        found = find(connection, SystemClock().now_us())
        assert connection.scalar(text(READ), {"table": table}) - before < ROWS / 10
    assert (found is not None) is is_found
