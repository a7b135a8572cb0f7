"""What an edge process answered is told by the way of the events, and outlives process and broker."""

import signal
import time

import pytest
from sqlalchemy import text

from tests.services import GONE, Edge, IntakeWorker, Service, declare_topology, post, running
from workers.db.engine import make_engine

SECONDS = 30.0


@pytest.fixture
def rows(migrated_sqlite_url):
    """Wait for as many rows of edge_statistics, and return them."""
    engine = make_engine(migrated_sqlite_url)

    def wait(count):
        sql = text(
            "SELECT answered, within_3_s, status_401, status_413 FROM edge_statistics ORDER BY began_at"
        )
        deadline = time.monotonic() + SECONDS
        while True:
            with engine.connect() as connection:
                found = [tuple(row) for row in connection.execute(sql)]
            if len(found) == count:
                return found
            assert time.monotonic() < deadline, f"{found} and not {count} rows"
            time.sleep(0.1)

    yield wait
    engine.dispose()


def edge_of(directory, amqp_url, seconds):
    return Edge(Service(directory, amqp_url, settings={"OM_STATISTICS_SECONDS": seconds}))


def test_what_was_answered_without_a_broker_by_a_process_that_ended_is_on_record_once(
    vhost, migrated_sqlite_url, rows, tmp_path
):
    declare_topology(vhost.amqp_url)
    with running(edge_of(tmp_path, GONE, "3600")) as first:
        first.start(wait_for_broker=False)
        answers = [post(first.url, b'{"number": %d}' % each).status_code for each in range(3)]
        answers.append(post(first.url, b"{}", X_Hub_Signature_256="sha256=none").status_code)
        answers.append(post(first.url, b" " * 2_000_000).status_code)
        first.end(signal.SIGTERM, timeout=15)
    assert answers == [200, 200, 200, 401, 413]

    worker = IntakeWorker(Service(tmp_path, vhost.amqp_url), migrated_sqlite_url)
    with running(edge_of(tmp_path, vhost.amqp_url, "1")) as second, running(worker):
        second.start()
        worker.start()
        assert rows(1) == [(3, 3, 1, 1)]
        assert post(second.url, b"{}").status_code == 200
        assert rows(2) == [(3, 3, 1, 1), (1, 1, 0, 0)]
