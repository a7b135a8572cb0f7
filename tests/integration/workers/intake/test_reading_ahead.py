"""Intake reads the next batch while the database works on this one."""

import time
from dataclasses import replace

import pytest

from messaging.clock import SystemClock
from tests.integration.workers.events import deliver, event, said
from workers.db.engine import work_while_waiting
from workers.intake import Intake


@pytest.fixture
def worker(engine, handlers):
    return Intake(engine, handlers, SystemClock())


def is_read(worker, delivery):
    return delivery.tag in worker._reader._read_ahead


def test_the_next_batch_is_read_while_postgresql_works(worker, engine):
    def is_read_ahead(number):
        following = deliver(said(f"{number}, second"))
        worker.expect([following])
        worker.process([deliver(said(f"{number}, first"))])
        return is_read(worker, following)

    # An answer that is there at once is not waited for: one of many will be.
    assert any(map(is_read_ahead, range(100))) == (engine.dialect.name == "postgresql")


def test_batches_that_were_read_ahead_take_effect_once_each(worker, query):
    batches = [[deliver(said(f"{number}.{each}", after_ms=each)) for each in range(5)] for number in range(4)]
    for batch, following in zip(batches, [*batches[1:], []], strict=True):
        worker.expect(following)
        worker.process(batch)

    assert query("SELECT count(*), count(DISTINCT text) FROM conversation_messages") == [(20, 20)]


@pytest.mark.parametrize("sign", [{"attempt": 2}, {"hangs": 1}], ids=str)
def test_nothing_is_read_ahead_while_a_suspect_is_tried(worker, sign):
    following = deliver(said("Second"))

    worker.expect([following])
    worker.process([replace(deliver(said("First")), **sign)])

    assert not is_read(worker, following)


def test_an_event_read_ahead_within_a_handler_leaves_its_time_with_the_handler(engine, handlers):
    seen = []

    def handler(connection, _events, _now_us):
        connection.exec_driver_sql("SELECT 1")
        seen.append(worker.abandon())
        return {}

    worker = Intake(engine, {**handlers, "openmessaging:conversation:new": (handler,)}, SystemClock())
    worker.expect([deliver(said(str(number))) for number in range(50)])
    worker.process([deliver(event("new"))])

    assert seen == [True]


def test_the_first_statement_of_a_transaction_is_waited_for_at_work_too(engine):
    if engine.dialect.name != "postgresql":
        pytest.skip("SQLite works in our own thread")
    moments = []

    def work():
        moments.append(time.monotonic())
        return True

    engine.dispose()
    work_while_waiting(engine, work)
    with engine.begin() as connection:
        # What waited for BEGIN alone would be at work for a fraction of this.
        connection.exec_driver_sql("SELECT pg_sleep(0.5)")
        worked = moments[-1] - moments[0]

    assert worked > 0.4
