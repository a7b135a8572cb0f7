"""Deliver's queries read only a few rows of a backlog, even if they were first planned for a short queue."""

import pytest
from sqlalchemy import text

from messaging.clock import SystemClock
from tests.integration.workers.conftest import ON_POSTGRESQL
from workers.db.engine import DELIVER_SESSION, make_engine
from workers.deliver.parking import find_first

FILL = """
    INSERT INTO outbox (conversation_id, event_type, occurred_at, late, created_at)
    SELECT 'conversation-' || md5(n::text), 'openmessaging:conversation:new', now(), false, now()
    FROM generate_series({first}, {last}) AS n"""
FETCHED = "SELECT idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'deliveries'"


@pytest.fixture
def connection(migrated_url):
    engine = make_engine(migrated_url, DELIVER_SESSION)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


@ON_POSTGRESQL
def test_the_search_for_first_deliveries_reads_few_rows_of_a_backlog_after_a_quiet_time(stand, connection):
    def find(conversations=16):
        before = connection.execute(text(FETCHED)).scalar() or 0
        assert len(find_first(connection, "crm", SystemClock().now_us(), conversations)) >= conversations
        fetched = connection.execute(text(FETCHED)).scalar_one() - before
        connection.commit()
        return fetched

    stand.register(stand.crm)
    stand.execute(FILL.format(first=1, last=200))
    for _ in range(20):
        find()
    stand.execute(FILL.format(first=201, last=5_000))
    assert find() <= 1_000
