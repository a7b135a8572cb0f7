"""While the database fails, deliveries are held and none becomes a dead letter."""

import sqlite3
import threading

import psycopg
import pytest
from sqlalchemy import event, text

from messaging.errors import RetryLaterError
from tests.fakes.clock import FakeClock
from tests.integration.workers.conftest import ON_POSTGRESQL, ON_SQLITE
from tests.integration.workers.consuming import processor
from tests.integration.workers.events import deliver, said
from tests.servers import free_port
from workers.db.engine import make_engine, transact
from workers.intake import Intake
from workers.parsing.events import CONVERSATION_MESSAGE


def raw(url):
    return psycopg.connect(url.replace("+psycopg", "", 1), autocommit=True)


def test_deliveries_are_held_while_the_database_is_away(handlers):
    """Guarantee 4.4."""
    away = make_engine(f"postgresql://postgres@127.0.0.1:{free_port()}/none")
    with pytest.raises(RetryLaterError):
        processor(away, handlers)(deliver(said("a")), deliver(b"malformed"))


def test_a_batch_reads_its_clock_only_after_the_transaction_has_begun(engine, handlers, query):
    clock = FakeClock()

    @event.listens_for(engine, "begin")
    def set_clock(_connection):
        clock.seconds = 1_800_000_000.0

    Intake(engine, handlers, clock).process([deliver(said("a"))])
    [(processed_at,)] = query("SELECT processed_at FROM processed_events")
    assert str(processed_at).startswith("2027-01-15")


@ON_POSTGRESQL
def test_deliveries_are_held_if_a_statement_takes_too_long(engine, handlers, query):
    def sleeps(connection, events, now_us):
        connection.execute(text("SET LOCAL statement_timeout = 50"))
        connection.execute(text("SELECT pg_sleep(5)"))
        return {}

    handlers[CONVERSATION_MESSAGE] = (sleeps,)
    with pytest.raises(RetryLaterError):
        processor(engine, handlers)(deliver(said("a")), deliver(said("b")))
    assert query("SELECT count(*) FROM dead_letters") == [(0,)]


def test_a_transaction_is_retried_after_a_deadlock(postgres_url):
    with raw(postgres_url) as connection:
        connection.execute("CREATE TABLE pair (id int PRIMARY KEY, n int)")
        connection.execute("INSERT INTO pair VALUES (1, 0), (2, 0)")
    barrier = threading.Barrier(2, timeout=10)
    met = set()

    def add(order):
        engine = make_engine(postgres_url)

        def work(connection):
            connection.execute(text("SET LOCAL deadlock_timeout = '50ms'"))
            for row in order:
                connection.execute(text("UPDATE pair SET n = n + 1 WHERE id = :id"), {"id": row})
                if order not in met:
                    met.add(order)
                    barrier.wait()

        transact(engine, work)
        engine.dispose()

    threads = [threading.Thread(target=add, args=(order,)) for order in ((1, 2), (2, 1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)

    with raw(postgres_url) as connection:
        assert connection.execute("SELECT n FROM pair ORDER BY id").fetchall() == [(2,), (2,)]


@ON_SQLITE
def test_intake_waits_for_a_locked_sqlite_database(engine, intake):
    other = sqlite3.connect(engine.url.database, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.3, lambda: other.execute("COMMIT"))
    release.start()
    assert intake(deliver(said("a"))) == frozenset()
    release.join()
    other.close()
