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


@pytest.fixture
def count_read(engine):
    """Return a function that runs work in a transaction and counts the entries that it read from a table."""

    def count(table, work):
        with engine.connect() as connection:
            before = connection.scalar(text(READ), {"table": table})
            result = work(connection)
            read = connection.scalar(text(READ), {"table": table}) - before
            connection.commit()
        return read, result

    return count


@pytest.fixture
def fill(engine):
    def fill(table):
        with engine.begin() as connection:
            connection.execute(text(FILL[table]), {"rows": ROWS})
            connection.execute(text(f"ANALYZE {table}"))

    return fill


@ON_POSTGRESQL
def test_updates_that_are_not_due_are_passed_over(fill, count_read):
    fill("routing_updates")
    now_us = SystemClock().now_us()
    read, found = count_read("routing_updates", lambda db: lock_newest_due(db, now_us, now_us))
    assert found is None
    assert read < ROWS / 10


@ON_POSTGRESQL
def test_the_next_unread_conversation_is_found_without_sorting_them(fill, count_read):
    fill("platform_conversations")
    now_us = SystemClock().now_us()
    comparison = Reconciliation(1, now_us - WEEK_US, now_us, None, now_us)
    work = lambda db: find_unread(db, comparison, [], is_late=False)  # noqa: E731
    read, found = count_read("platform_conversations", work)
    assert found is not None
    assert read < ROWS / 10
