"""One event that hangs its handler: its neighbours pass, it becomes a dead letter, in bounded time."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pika
import pytest

from messaging import topology
from tests.integration.workers.consuming import depth
from tests.integration.workers.events import said

PATIENCE_SECONDS = 60.0
SETTINGS = {"OM_STUCK_SECONDS": "3", "OM_HANDLER_SECONDS": "2", "OM_LOG_LEVEL": "info"}

HANDLER = """
import re
import time

from sqlalchemy import text


def handle(connection, events, _now_us):
    for each in events:
        if each.event.text == "sleep":
            time.sleep(3600)
        if each.event.text == "spin":
            while True:
                pass
        if each.event.text == "hold the interpreter":
            re.match("(a+)+$", "a" * 40 + "b")
    return {}
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
        **SETTINGS,
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


@pytest.mark.parametrize("sick", ["sleep", "spin"])
def test_four_hundred_neighbours_of_an_event_that_hangs_are_processed_and_delivered_once(
    channel, start, query, log, sick
):
    publish(channel, with_one_sick(400, sick))
    worker = start()

    wait_until(lambda: query("SELECT count(*) FROM processed_events") == [(400,)], log)
    wait_until(lambda: depth(channel, topology.DEAD_LETTERS) == 1, log)

    assert query("SELECT message_id, code FROM dead_letters") == [(sick, "too_slow")]
    assert query("SELECT sum(deliveries) FROM processed_events") == [(400,)]
    assert query("SELECT count(*) FROM suspects") == [(0,)]
    # The thread that hangs is got rid of, and the worker goes on under its process id.
    wait_until(lambda: log.read_text().count("consumer_up") == 2, log)
    publish(channel, ["afterwards"])
    wait_until(lambda: query("SELECT count(*) FROM processed_events") == [(401,)], log)
    assert worker.poll() is None


# Nothing of it depends on the database, and it holds a processor for half a minute.
@pytest.mark.parametrize("migrated_url", ["postgresql"], indirect=True)
def test_an_event_that_holds_the_interpreter_ends_few_workers_and_no_neighbour(channel, start, query, log):
    sick = "hold the interpreter"
    publish(channel, with_one_sick(50, sick))
    ended = 0

    worker = start()
    while not depth(channel, topology.DEAD_LETTERS):
        if worker.poll() is not None:
            assert worker.returncode == 1
            ended += 1
            worker = start()
        assert ended < 4, log.read_text()[-4000:]
        time.sleep(0.1)

    wait_until(lambda: query("SELECT count(*) FROM processed_events") == [(50,)], log)
    assert query("SELECT message_id, code FROM dead_letters") == [(sick, "poison")]
    assert ended == 3
    assert "hanging_handler.py" in log.read_text()
