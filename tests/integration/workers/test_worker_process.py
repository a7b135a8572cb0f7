"""The worker as operators run it: a process with an environment and signals."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pika
import pytest
from sqlalchemy import text

from messaging import topology
from tests.integration.workers.conftest import said
from tests.services import declare_topology
from workers.tables import engine_of

PATIENCE_SECONDS = 30.0


@pytest.fixture
def environment(vhost, migrated_sqlite_url):
    declare_topology(vhost.amqp_url)
    return {**os.environ, "OM_AMQP_URL": vhost.amqp_url, "OM_DATABASE_URL": migrated_sqlite_url}


@pytest.fixture
def start(environment, tmp_path):
    """Start a worker with some variables changed; its output goes to a file."""
    started = []

    def run(**changes):
        log = (tmp_path / f"worker-{len(started)}.log").open("w+")
        process = subprocess.Popen(
            [sys.executable, "-m", "workers", "intake", "--name", "test"],
            env=environment | changes,
            stdout=log,
            stderr=log,
        )
        started.append((process, log))
        return process

    yield run
    for process, log in started:
        if process.poll() is None:
            process.kill()
        process.wait()
        log.close()


@pytest.fixture
def publish(environment):
    def send(*payloads):
        with pika.BlockingConnection(pika.URLParameters(environment["OM_AMQP_URL"])) as connection:
            channel = connection.channel()
            for payload in payloads:
                channel.basic_publish(
                    topology.EXCHANGE, topology.EVENT_ROUTING_KEY, json.dumps(payload).encode()
                )

    return send


@pytest.fixture
def count(environment):
    engine = engine_of(environment["OM_DATABASE_URL"])

    def number(table="processed_events"):
        with engine.connect() as connection:
            return connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()  # noqa: S608

    yield number
    engine.dispose()


def wait_until(condition):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def test_a_worker_ends_well_at_sigterm_and_the_next_finds_nothing_to_repeat(start, publish, count):
    worker = start()
    publish(*[said(f"m{number}") for number in range(250)])
    wait_until(lambda: count() == 250)

    worker.send_signal(signal.SIGTERM)

    assert worker.wait(PATIENCE_SECONDS) == 0


def test_a_killed_worker_loses_nothing_and_repeats_nothing(start, publish, count):
    payloads = [said(f"m{number}", conversation=f"c-{number % 5}") for number in range(600)]
    publish(*payloads)
    for _ in range(3):
        before = count()
        worker = start()
        wait_until(lambda before=before: count() > before or count() == 600)
        worker.kill()
        worker.wait()
    start()

    wait_until(lambda: count() == 600)
    assert count("conversation_messages") == 600
    assert count("dead_letters") == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [("OM_AMQP_URL", ""), ("OM_DATABASE_URL", "nonsense"), ("OM_BATCH_EVENTS", "none"), ("OM_AMQP_URL", "x")],
)
def test_a_malformed_setting_refuses_to_start_with_78_and_names_the_variable(start, tmp_path, name, value):
    worker = start(**{name: value})

    assert worker.wait(PATIENCE_SECONDS) == 78
    assert name in (tmp_path / "worker-0.log").read_text()


def test_sigterm_does_not_wait_for_a_broker_that_says_nothing(start):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        worker = start(OM_AMQP_URL=f"amqp://guest:guest@127.0.0.1:{silent.getsockname()[1]}/")
        silent.settimeout(PATIENCE_SECONDS)
        connection, _ = silent.accept()
        before = time.monotonic()
        worker.send_signal(signal.SIGTERM)

        assert worker.wait(PATIENCE_SECONDS) == 0
        assert time.monotonic() - before < 5.0
        connection.close()
