"""An event that makes its handler hang becomes a dead letter; other events are processed in bounded time.

Guarantee 7.3.
"""

import os
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from messaging import topology
from tests.integration.workers.consuming import depth, publish
from tests.integration.workers.events import said
from tests.waiting import wait_until

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
def environment(vhost, migrated_url, tmp_path):
    """Environment variables of a worker, with an integrator's handler installed."""
    for name, content in FILES.items():
        path = tmp_path / "package" / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(content)
    sources = Path(__file__).parents[4]
    settings = {"OM_AMQP_URL": vhost.amqp_url, "OM_DATABASE_URL": migrated_url}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OM_")}
    return {**inherited, **settings, "PYTHONPATH": f"{tmp_path / 'package'}:{sources}"}


@contextmanager
def supervised(start):
    """Run a worker and replace it whenever it exits; yield the exit statuses."""
    statuses, stopped = [], threading.Event()

    def supervise():
        worker = start()
        while not stopped.wait(0.1):
            if worker.poll() is not None:
                statuses.append(worker.returncode)
                worker = start()

    thread = threading.Thread(target=supervise)
    thread.start()
    try:
        yield statuses
    finally:
        stopped.set()
        thread.join()


@pytest.mark.parametrize(
    ("migrated_url", "sick"),
    [("sqlite", "sleep"), ("postgresql", "hold the interpreter")],
    indirect=["migrated_url"],
)
def test_an_event_that_hangs_three_workers_is_dead_lettered_and_other_events_are_processed(
    channel, start, query, tmp_path, sick
):
    texts = [f"good {number}" for number in range(100)]
    for number, text in enumerate([*texts[:33], sick, *texts[33:]]):
        publish(channel, said(text, conversation=f"c-{number % 7}"), message_id=text)

    with supervised(start) as statuses:
        wait_until(lambda: query("SELECT count(*) FROM processed_events") == [(100,)], seconds=60.0)
        wait_until(lambda: depth(channel, topology.DEAD_LETTERS) == 1, seconds=60.0)

    assert query("SELECT message_id, code FROM dead_letters") == [(sick, "poison")]
    assert query("SELECT count(*) FROM suspects") == [(0,)]
    # The event delays others only for three times HANDLER_SECONDS plus three restarts.
    assert statuses == [1, 1, 1]
    # The log shows the stack of every thread.
    assert "hanging_handler.py" in (tmp_path / "worker-0.log").read_text()
