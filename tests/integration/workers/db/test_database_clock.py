"""All hosts use the database's clock, even if their own clocks are wrong."""

import time

import pytest
from sqlalchemy import text

from tests.integration.workers.conftest import ON_POSTGRESQL
from workers.db.engine import DatabaseClock, make_engine

HOUR_US = 3_600_000_000
NOW = text("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")


def ahead_by(us):
    return lambda: time.time_ns() // 1000 + us


@ON_POSTGRESQL
@pytest.mark.parametrize("has_connected", [False, True])
@pytest.mark.parametrize("off_us", [HOUR_US, -HOUR_US])
def test_a_host_whose_clock_is_wrong_uses_the_databases_time(engine, off_us, has_connected):
    """Guarantee 7.13."""
    if has_connected:
        engine.connect().close()
    clock = DatabaseClock(engine, ahead_by(off_us))
    with engine.connect() as connection:
        before = connection.execute(NOW).scalar_one()
        read = clock.now_us()
        after = connection.execute(NOW).scalar_one()
    assert before - 100_000 <= read <= after + 100_000


def test_a_host_uses_its_own_clock_until_the_database_answers():
    engine = make_engine("postgresql+psycopg://absent@127.0.0.1:9/none")
    assert abs(DatabaseClock(engine, ahead_by(HOUR_US)).now_us() - time.time_ns() // 1000 - HOUR_US) < 10**7


def test_sqlite_uses_this_hosts_clock(migrated_sqlite_url):
    clock = DatabaseClock(make_engine(migrated_sqlite_url), lambda: 42)
    assert clock.now_us() == 42
