"""Intake reads the next batch while the database works on this one."""

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


def test_the_next_batch_is_read_while_postgresql_works(worker, engine):
    def is_read_ahead(number):
        following = deliver(said(f"{number}, second"))
        worker.prefetch([following])
        worker.process([deliver(said(f"{number}, first"))])
        return is_read(worker, following)

    # If an answer arrives at once, nothing is read ahead; among 100 answers, some take longer.
    assert any(map(is_read_ahead, range(100))) == (engine.dialect.name == "postgresql")


def test_batches_that_were_read_ahead_take_effect_once_each(worker, query):
    batches = [[deliver(said(f"{number}.{each}", after_ms=each)) for each in range(5)] for number in range(4)]
    for batch, following in zip(batches, [*batches[1:], []], strict=True):
        worker.prefetch(following)
        worker.process(batch)
    assert query("SELECT count(*), count(DISTINCT text) FROM conversation_messages") == [(20, 20)]


def test_nothing_is_prefetched_while_a_suspect_is_processed(worker):
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
        # If it worked only while BEGIN is answered, it would work for a fraction of this time.
        connection.exec_driver_sql("SELECT pg_sleep(0.5)")
        worked = moments[-1] - moments[0]
    assert worked > 0.4
