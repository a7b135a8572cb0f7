"""Intake reads the next batch while the database works on the current one."""

import time

import pytest

from tests.integration.workers.conftest import ON_POSTGRESQL
from tests.integration.workers.events import deliver, said
from workers.db.engine import DatabaseClock, prefetch_while_waiting
from workers.intake import Intake


@pytest.fixture
def worker(engine, handlers):
    return Intake(engine, handlers, DatabaseClock(engine))


def is_read(worker, delivery):
    return delivery.tag in worker._reader._prefetched


def test_the_next_batch_is_read_while_postgresql_works_on_the_current_batch(worker, engine):
    def is_read_ahead(number):
        following = deliver(said(f"{number}, second"))
        worker.prefetch([following])
        worker.process([deliver(said(f"{number}, first"))])
        return is_read(worker, following)

    # If PostgreSQL answers at once, no delivery is read ahead. Some of the 100 answers take longer.
    assert any(map(is_read_ahead, range(100))) == (engine.dialect.name == "postgresql")


def test_no_delivery_is_read_ahead_while_a_suspect_is_processed(worker):
    following = deliver(said("Second"))
    worker.prefetch([following])
    worker.process([deliver(said("First"), attempt=2)])
    assert not is_read(worker, following)


@ON_POSTGRESQL
def test_intake_also_reads_ahead_during_the_first_statement_of_a_transaction(engine):
    moments = []

    def work():
        moments.append(time.monotonic())
        return True

    engine.dispose()
    prefetch_while_waiting(engine, work)
    with engine.begin() as connection:
        # If intake read ahead only during BEGIN, *worked* would be a small fraction of this half second.
        connection.exec_driver_sql("SELECT pg_sleep(0.5)")
        worked = moments[-1] - moments[0]
    assert worked > 0.2
