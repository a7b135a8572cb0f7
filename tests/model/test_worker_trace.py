"""Steps of intake workers are a run of the protocol, and are not with one left out, doubled or swapped."""

import json
import time

import pika
import pytest
from sqlalchemy import create_engine, func, select

from messaging import topology
from tests.chaos import sick_handlers
from tests.chaos.behind import WITH_SHORT_WINDOWS
from tests.model.test_trace import close_connections, wait_until
from tests.model.trace import Acceptor, TraceError
from tests.model.worker_trace import Worker
from tests.services import IntakeWorker, Service, declare_topology, running
from workers.db.models import dead_letters, processed_events

STEPS = {"submit", "claim", "record", "roll_back", "commit", "put_off", "reject", "acknowledge", "lose"}
TRANSACTION = {"claim", "record", "commit", "roll_back"}


def is_run(*traces):
    effects = set()
    try:
        for trace in traces:
            Acceptor(Worker(effects)).accept(trace)
    except TraceError:
        return False
    return True


def event(name, message=""):
    body = {
        "eventType": "openmessaging:conversation:message",
        "conversationId": f"conversation-{name % 7}",
        "timestamp": f"2026-01-01T00:00:{name % 60:02}.{name:03}Z",
        "message": {"id": f"message-{name}", "text": message, "direction": "inbound"},
    }
    return json.dumps(body).encode()


class RecordedWorker(IntakeWorker):
    runs = WITH_SHORT_WINDOWS


@pytest.fixture(scope="module")
def trace(rabbitmq, migrated_sqlite, tmp_path_factory):
    """A trace of good events, a copy, a body that is no event, a failing handler, and a lost connection."""
    directory = tmp_path_factory.mktemp("worker")
    traced = directory / "traces"
    traced.mkdir()
    database = directory / "events.sqlite3"
    database.write_bytes(migrated_sqlite.read_bytes())
    handlers = sick_handlers.install(directory / "handlers")
    with rabbitmq.make_vhost() as vhost:
        declare_topology(vhost.amqp_url)
        service = Service(directory, vhost.amqp_url, rabbitmq.management_url)
        service.settings = {"OM_TRACE_DIRECTORY": str(traced), "OM_HANDLER_ATTEMPTS": "2"}
        service.settings["PYTHONPATH"] = f"{service.environment()['PYTHONPATH']}:{handlers}"
        url = f"sqlite:///{database}"
        worker = RecordedWorker(service, url)
        with running(worker):
            worker.start()
            publish(vhost, *[event(number) for number in range(40)], b"no event")
            publish(vhost, event(3), event(40, f"{sick_handlers.MARK}raise"), event(41))
            wait_until(lambda: count(url, processed_events) == 41 and count(url, dead_letters) == 2)
            publish(vhost, event(42))
            wait_until(lambda: count(url, processed_events) == 42)
            close_connections(rabbitmq, vhost)
            publish(vhost, *[event(number) for number in range(43, 60)])
            wait_until(lambda: count(url, processed_events) == 59)
            time.sleep(0.5)  # acknowledged
    [path] = traced.iterdir()
    return [json.loads(line) for line in path.read_text().splitlines()]


def publish(vhost, *bodies):
    with pika.BlockingConnection(pika.URLParameters(vhost.amqp_url)) as connection:
        channel = connection.channel()
        for body in bodies:
            channel.basic_publish(topology.EXCHANGE, topology.EVENT_ROUTING_KEY, body)


def count(url, table):
    with create_engine(url).connect() as connection:
        return connection.scalar(select(func.count()).select_from(table))


def test_the_steps_of_a_worker_are_a_run_of_the_protocol(trace):
    Acceptor(Worker(set())).accept(trace)
    assert {step["step"] for step in trace} == STEPS


def depend(first, second):
    """Return whether two steps, one after the other, may not be swapped."""
    kinds = {first["step"], second["step"]}
    if first == second or kinds == {"roll_back", "put_off"}:
        return False
    if kinds <= TRANSACTION or "lose" in kinds:
        return True
    if kinds == {"submit"}:
        return min(tags_of(second)) == max(tags_of(first)) + 1
    return not tags_of(first).isdisjoint(tags_of(second))


def has_consequence(step, after):
    """Return whether leaving a step out contradicts a later one: a lost connection settles everything."""
    if step["step"] not in {"reject", "acknowledge"}:
        return step["step"] != "lose"
    later = [one["step"] for one in after]
    return "acknowledge" in later[: later.index("lose") if "lose" in later else None]


def tags_of(step):
    """Return the tags of the deliveries that a step is about."""
    if step["step"] == "acknowledge" and step["multiple"]:
        return set(range(1, step["tag"] + 1))
    return {step["tag"]} if "tag" in step else {tag for tag, _ in step.get("deliveries", ())}


def test_a_trace_with_a_step_left_out_doubled_or_swapped_is_rejected(trace):
    last = max(number for number, step in enumerate(trace) if step["step"] == "acknowledge")
    for number, step in enumerate(trace[:last]):
        before, after = trace[:number], trace[number + 1 :]
        if has_consequence(step, after):
            assert not is_run([*before, *after]), f"{number} {step} is left out"
            assert not is_run([*before, step, step, *after]), f"{number} {step} is doubled"
        if depend(step, after[0]):
            assert not is_run([*before, after[0], step, *after[1:]]), f"{number} {step} is swapped"
    assert last > 20


def test_two_workers_do_not_give_one_event_its_effect(trace):
    assert is_run(trace)
    assert not is_run(trace, trace)
