"""A worker runs as operators run it: as a separate process with environment variables and signals."""

import signal
import socket
import sqlite3
import time
from contextlib import closing, contextmanager

import pytest
from sqlalchemy import text

from messaging.topology import EVENTS_QUEUE
from tests.integration.workers.conftest import ON_POSTGRESQL
from tests.integration.workers.consuming import depth, publish
from tests.integration.workers.events import said
from tests.servers import free_port
from tests.waiting import PATIENCE_SECONDS, wait_until

BUSY_STOP_SECONDS = 8.0
"""The limit of five seconds (see tests/unit/workers/test_role.py), plus three seconds for a busy machine."""


def expect_soon_stopped(worker):
    """Send SIGTERM to a worker, and expect that it exits with status 0 within BUSY_STOP_SECONDS."""
    before = time.monotonic()
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(PATIENCE_SECONDS) == 0
    assert time.monotonic() - before < BUSY_STOP_SECONDS


@pytest.mark.parametrize(
    ("name", "value"), [("OM_AMQP_URL", "x"), ("OM_DATABASE_URL", "nonsense"), ("OM_LOG_LEVEL", "loud")]
)
def test_a_worker_with_a_malformed_setting_exits_with_status_78_and_names_it(start, tmp_path, name, value):
    worker = start(**{name: value})
    assert worker.wait(PATIENCE_SECONDS) == 78
    assert name in (tmp_path / "worker-0.log").read_text()


def test_a_worker_does_not_wait_for_a_silent_broker_after_sigterm(start):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        worker = start(OM_AMQP_URL=f"amqp://guest:guest@127.0.0.1:{silent.getsockname()[1]}/")
        silent.settimeout(PATIENCE_SECONDS)
        connection, _ = silent.accept()
        expect_soon_stopped(worker)
        connection.close()


@contextmanager
def silent_database(_sqlite_url):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield f"postgresql://postgres@127.0.0.1:{silent.getsockname()[1]}/none"


@contextmanager
def absent_database(_sqlite_url):
    yield f"postgresql://postgres@127.0.0.1:{free_port()}/none"


@contextmanager
def locked_database(sqlite_url):
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield sqlite_url


@pytest.mark.parametrize("database", [silent_database, absent_database, locked_database])
def test_a_worker_that_holds_deliveries_exits_soon_after_sigterm(start, environment, channel, database):
    for number in range(250):
        publish(channel, said(f"m{number}"))
    with database(environment["OM_DATABASE_URL"]) as url:
        worker = start(OM_DATABASE_URL=url)
        wait_until(lambda: depth(channel) == 0)
        time.sleep(1.0)
        expect_soon_stopped(worker)
    wait_until(lambda: depth(channel) == 250)


@ON_POSTGRESQL
def test_a_suspect_that_waits_for_a_locked_table_has_not_ended_a_worker_that_is_stopped(
    start, channel, query, engine, migrated_url
):
    publish(channel, said("a"))
    for _ in range(3):
        tag = wait_until(lambda: channel.basic_get(EVENTS_QUEUE)[0]).delivery_tag
        channel.basic_nack(tag, requeue=True)
    with engine.begin() as connection:
        connection.execute(text("LOCK TABLE conversations"))
        worker = start(OM_DATABASE_URL=migrated_url)
        wait_until(lambda: query("SELECT attempts FROM suspects") == [(1,)])
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(PATIENCE_SECONDS) == 0
        assert query("SELECT count(*) FROM suspects") == [(0,)]


@pytest.mark.parametrize("role", ["settle", "deliver"])
def test_a_role_that_waits_for_a_silent_database_exits_soon_after_sigterm(start, tmp_path, role):
    destinations, log = tmp_path / "destinations.toml", tmp_path / "worker-0.log"
    destinations.write_text("none = true\n")
    with silent_database("") as url:
        worker = start(role, OM_DATABASE_URL=url, OM_DESTINATIONS=str(destinations))
        wait_until(lambda: "role_started" in log.read_text())
        time.sleep(1.0)
        expect_soon_stopped(worker)
