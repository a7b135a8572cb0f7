"""Test that the recorded steps of intake workers follow the protocol, and that changed traces do not."""

import json
import time

import pika
import pytest
from sqlalchemy import create_engine, func, select

from messaging import topology
from tests.chaos import sick_handlers
from tests.chaos.behind import WITH_SHORT_WINDOWS
from tests.model.acceptor import Acceptor
from tests.model.host import TraceError
from tests.model.mutations import DOUBLED, LEFT_OUT, SWAPPED, judge, mutate
from tests.model.test_trace import close_connections, is_last, permit, wait_until
from tests.model.worker_trace import Worker
from tests.services import IntakeWorker, Service, declare_topology, running
from workers.db.models import dead_letters, processed_events

STEPS = {"submit", "claim", "record", "commit", "put_off", "reject", "acknowledge", "lose"}


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
    """A worker's trace: good events, a duplicate, an invalid body, a failing handler, a lost connection."""
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
            time.sleep(0.5)  # wait until the last deliveries are acknowledged
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


def test_a_worker_follows_the_protocol(trace):
    Acceptor(Worker(set())).accept(trace)
    assert {step["step"] for step in trace} >= STEPS


def steps(name, *deliveries, **fields):
    return {
        "step": name,
        **({"deliveries": [list(one) for one in deliveries]} if deliveries else {}),
        **fields,
    }


def commit(*deliveries, keys=()):
    return [steps("claim", *deliveries, keys=list(keys)), steps("commit", *deliveries)]


A, B, BAD, C, SICK, D = (1, "a"), (2, "b"), (3, "bad"), (4, "c"), (5, "sick"), (6, "d")
D_AGAIN, E, F, G, WORSE, H = (1, "d"), (2, "e"), (3, "f"), (4, "g"), (5, "worse"), (6, "h")
RUN = [
    steps("submit", A, B),
    *commit(A, B, keys=["a", "b"]),
    {"step": "acknowledge", "tag": 2, "multiple": True, "deliveries": 2},
    steps("submit", BAD, C),
    steps("claim", BAD, C, keys=["c"]),
    steps("record", BAD),
    steps("commit", BAD, C),
    {"step": "reject", "tag": 3, "requeue": False},
    {"step": "acknowledge", "tag": 4, "multiple": True, "deliveries": 1},
    steps("submit", SICK),
    steps("claim", SICK, keys=["sick"]),
    {"step": "roll_back"},
    steps("put_off", SICK),
    steps("submit", SICK),
    *commit(SICK, keys=["sick"]),
    {"step": "acknowledge", "tag": 5, "multiple": True, "deliveries": 1},
    steps("submit", D),
    {"step": "lose"},
    # The batch in progress is committed after the connection is lost, and the broker redelivers its events.
    *commit(D, keys=["d"]),
    steps("submit", D_AGAIN),
    *commit(D_AGAIN),
    {"step": "acknowledge", "tag": 1, "multiple": False, "deliveries": 1},
    steps("submit", E),
    *commit(E, keys=["e"]),
    {"step": "acknowledge", "tag": 2, "multiple": True, "deliveries": 1},
    steps("submit", F, G),
    *commit(F, keys=["f"]),
    steps("put_off", G),
    {"step": "acknowledge", "tag": 3, "multiple": True, "deliveries": 1},
    steps("submit", G),
    *commit(G, keys=["g"]),
    {"step": "acknowledge", "tag": 4, "multiple": True, "deliveries": 1},
    steps("submit", WORSE),
    steps("claim", WORSE, keys=[]),
    steps("record", WORSE),
    steps("commit", WORSE),
    {"step": "reject", "tag": 5, "requeue": False},
    steps("submit", H),
    *commit(H, keys=["h"]),
    {"step": "lose"},
]
"""The trace of a run with good events, an invalid body, a handler that fails once, and a lost connection."""


COLLECTED = "The model acknowledges settled deliveries at any time, and other deliveries meanwhile."
LOST = "The model's worker may be killed, or lose its connection, before it takes a step."
APART = "The steps concern different deliveries, which the model's workers handle in any order."


def is_lost_first(mutation):
    """Return whether the trace or the connection ends before another step acknowledges the delivery."""
    for step in mutation.later:
        if step["step"] == "lose":
            return True
        if step["step"] == "acknowledge" and step["multiple"] and step["tag"] > mutation.step["tag"]:
            return False
    return True


PERMITTED = (
    permit(LEFT_OUT, "acknowledge", LOST, is_lost_first),
    permit(LEFT_OUT, "reject", LOST, is_lost_first),
    permit(LEFT_OUT, "", LOST, is_last),
    permit(LEFT_OUT, "commit", LOST, lambda mutation: [step["step"] for step in mutation.later] == ["lose"]),
    permit(DOUBLED, "lose", "A connection that carries no delivery may be lost."),
    permit(SWAPPED, "lose claim", LOST),
    permit(SWAPPED, "lose commit", LOST),
    permit(SWAPPED, "acknowledge", COLLECTED),
    permit(SWAPPED, "commit put_off", APART),
    permit(SWAPPED, "submit", APART),
)
"""All changed runs that are accepted, with the reason why the model permits them."""


def is_changed_run(run):
    return is_run([step for _, step in run])


def test_a_trace_with_a_missing_repeated_or_swapped_step_is_rejected_unless_the_model_permits_it():
    assert is_run(RUN)
    line, unexplained, needed = judge([[("worker", step) for step in RUN]], is_changed_run, PERMITTED)
    print(line)
    assert {*map(str, unexplained)} == set()
    assert {row for row in PERMITTED if row not in needed} == set()


@pytest.mark.parametrize(("change", "kind"), [(LEFT_OUT, "claim"), (DOUBLED, "claim"), (DOUBLED, "commit")])
def test_a_recorded_trace_is_rejected_if_a_step_of_a_transaction_is_missing_or_repeated(trace, change, kind):
    mutations = [each for each in mutate([("worker", step) for step in trace]) if each.change == change]
    accepted = [each for each in mutations if each.step["step"] == kind and is_changed_run(each.run)]
    assert accepted == []


def test_traces_are_rejected_if_an_event_takes_effect_on_two_workers(trace):
    assert is_run(trace)
    assert not is_run(trace, trace)
