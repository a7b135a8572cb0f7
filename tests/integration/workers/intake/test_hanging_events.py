"""An event that hangs its handler becomes a dead letter; other events are processed in bounded time."""

import json
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pika
import pytest

from messaging import topology
from tests.integration.workers.consuming import depth
from tests.integration.workers.events import said

PATIENCE_SECONDS = 60.0
HANDLER_SECONDS = 3

HANDLER = f"""
import re
import time

import workers.bootstrap

workers.bootstrap.HANDLER_SECONDS = {HANDLER_SECONDS}


def handle(connection, events, _now_us):
    for each in events:
        if each.event.text == "sleep":
            time.sleep(3600)
        if each.event.text == "spin":
            while True:
                pass
        if each.event.text == "hold the interpreter":
            re.match("(a+)+$", "a" * 40 + "b")
    return {{}}
"""

FILES = {
    "hanging_handler.py": HANDLER,
    "hanging_handler-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: hanging-handler\nVersion: 1\n",
    "hanging_handler-1.dist-info/entry_points.txt": (
        "[open_messaging.handlers]\nopenmessaging:conversation:message = hanging_handler:handle\n"
    ),
}


@pytest.fixture
def log(tmp_path):
    return tmp_path / "worker.log"


@pytest.fixture
def start(vhost, migrated_url, tmp_path, log):
    """Start a worker with the handler of an integrator's installed."""
    for name, content in FILES.items():
        path = tmp_path / "package" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    sources = Path(__file__).parents[4]
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("OM_")},
        "OM_AMQP_URL": vhost.amqp_url,
        "OM_DATABASE_URL": migrated_url,
        "PYTHONPATH": f"{tmp_path / 'package'}:{sources}",
    }
    started = []

    def run():
        with log.open("a") as output:
            command = [sys.executable, "-m", "workers", "intake", "--name", "test"]
            started.append(subprocess.Popen(command, env=environment, stdout=output, stderr=output))
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.wait()


def publish(channel, texts):
    for text in texts:
        body = json.dumps(said(text, conversation=f"c-{hash(text) % 7}")).encode()
        properties = pika.BasicProperties(message_id=text, delivery_mode=2)
        channel.basic_publish(topology.EXCHANGE, topology.EVENT_ROUTING_KEY, body, properties)


def with_one_sick(count, sick):
    texts = [f"good {number}" for number in range(count)]
    texts.insert(count // 3, sick)
    return texts


def wait_until(condition, log):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, log.read_text()[-4000:]
        time.sleep(0.1)


@contextmanager
def supervised(start, count=1):
    """Run workers and replace each one that exits; yield the exit statuses."""
    statuses, stopped = [], threading.Event()

    def supervise():
        worker = start()
        while not stopped.wait(0.1):
            if worker.poll() is not None:
                statuses.append(worker.returncode)
                worker = start()

    threads = [threading.Thread(target=supervise) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield statuses
    finally:
        stopped.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize(
    ("migrated_url", "sick"),
    [("sqlite", "sleep"), ("postgresql", "spin"), ("postgresql", "hold the interpreter")],
    indirect=["migrated_url"],
)
def test_an_event_that_hangs_ends_three_workers_and_its_neighbours_are_processed(
    channel, start, query, log, sick
):
    publish(channel, with_one_sick(100, sick))

    with supervised(start) as statuses:
        wait_until(lambda: query("SELECT count(*) FROM processed_events") == [(100,)], log)
        wait_until(lambda: depth(channel, topology.DEAD_LETTERS) == 1, log)

    assert query("SELECT message_id, code FROM dead_letters") == [(sick, "poison")]
    assert query("SELECT count(*) FROM suspects") == [(0,)]
    # It costs three times HANDLER_SECONDS and three starts, and no more.
    assert statuses == [1, 1, 1]
    # Where every thread stood.
    assert "hanging_handler.py" in log.read_text()


def test_another_worker_processes_the_neighbours_as_soon_as_the_first_one_ends(channel, start, query, log):
    publish(channel, with_one_sick(100, "sleep"))

    with supervised(start, count=2):
        wait_until(lambda: depth(channel, topology.DEAD_LETTERS) == 1, log)
        wait_until(lambda: query("SELECT count(*) FROM processed_events") == [(100,)], log)

    assert query("SELECT message_id, code FROM dead_letters") == [("sleep", "poison")]
