"""Test that the recorded steps of edge processes follow the protocol, and that changed traces do not."""

import json
import os
import signal
import time
from collections import defaultdict
from pathlib import Path
from urllib.parse import quote

import pytest
import requests

from tests.model.acceptor import check_traces
from tests.model.edge_recording import record_edge
from tests.model.host import Host, TraceError
from tests.model.mutations import DOUBLED, LEFT_OUT, SWAPPED, Permitted, judge, merge
from tests.model.runs import ADOPTED, ALLOWED, BACKLOG, FORBIDDEN, HELD_AGAIN
from tests.model.trace import EdgeProcess
from tests.services import Edge, Service, declare_topology, post, running
from tests.simulation.defects import Defect, known_defects, put_in
from tests.simulation.schedule import choose, run

SEEDS = range(150)

STEPS = {
    "write",
    "publish",
    "respond",
    "hold",
    "release",
    "connect",
    "report",
    "stop",
    "confirm",
    "keep",
    "close",
    "prove",
    "read",
    "fail",
    "postpone",
    "probe",
    "answer",
    "unlink",
    "interrupt",
    "adopt",
}
IN_A_REAL_RUN = STEPS - {"fail", "keep", "postpone", "confirm", "stop", "release"}

SECONDS = 60.0


def is_last(mutation):
    return not mutation.later


def ends_before(*kinds):
    """Return a condition that holds if the trace or the connection ends before a step of these kinds."""

    def condition(mutation):
        later = (step["step"] for step in mutation.later)
        return next((kind for kind in later if kind in {*kinds, "interrupt", "stop"}), "stop") not in kinds

    return condition


def is_never_followed_by(kind):
    return lambda mutation: all(step["step"] != kind for step in mutation.later)


def permit(change, kinds, reason, condition=lambda _mutation: True):
    return Permitted(change, frozenset(kinds.split()), reason, condition)


KILLED = "A process may be killed before any step; the model's process is then one that takes no more steps."
LOST = "The model's broker may die before it handles or answers what a connection carries."
POLL = "The model's edge process polls at any time. It need not take each report, and takes equal ones twice."
COMPONENTS = "These are steps of two components, which the model takes in either order."
PERMITTED = (
    permit(LEFT_OUT, "", KILLED, is_last),
    permit(LEFT_OUT, "hold", KILLED, is_never_followed_by("write")),
    permit(LEFT_OUT, "publish", "Events of a growing segment may wait.", is_never_followed_by("close")),
    permit(LEFT_OUT, "probe", LOST, ends_before("answer")),
    permit(LEFT_OUT, "answer", LOST, ends_before("probe", "unlink")),
    permit(LEFT_OUT, "confirm", LOST),
    permit(
        LEFT_OUT, "adopt", "Segments may stay in a dead process's directory.", is_never_followed_by("read")
    ),
    permit(LEFT_OUT, "interrupt", KILLED, is_never_followed_by("connect")),
    permit(DOUBLED, "interrupt", "It may be that of the next connection, which is not ready yet.", is_last),
    *(permit(change, "report", POLL) for change in (LEFT_OUT, DOUBLED, SWAPPED)),
    *(
        permit(SWAPPED, kinds, COMPONENTS)
        for kinds in (
            "confirm",
            "hold probe",
            "answer read",
            "probe read",
            "close probe",
            "close answer",
            "answer publish",
            "adopt probe",
            "adopt answer",
            "adopt interrupt",
        )
    ),
)
"""All changed runs that are accepted, with the reason why the model permits them."""


def is_run(run):
    """Return whether a run is accepted. The order of its steps counts, not their recorded times."""
    host, processes = Host(), {}
    try:
        for time_of, (name, step) in enumerate(run):
            process = processes.setdefault(name, EdgeProcess(host, name))
            process.take({**step, "t": float(time_of)})
    except TraceError:
        return False
    return True


def record_traces(seed):
    """Run a simulated schedule; return its edge processes' traces by name."""
    traces, worlds = defaultdict(list), []

    def number():
        return worlds[0].files.process.number

    def write(step):
        # A killed process takes no further steps, even though the simulation still runs its `finally` blocks.
        if not worlds[0].files.process.is_dead:
            traces[str(number())].append(step)

    end = record_edge(write, number, lambda: worlds[0].now)
    try:
        run(choose(seed), watch=worlds.append)
    finally:
        end()
    return traces


@pytest.fixture(scope="module")
def hosts():
    return {seed: record_traces(seed) for seed in SEEDS}


def test_the_edge_follows_the_protocol_in_every_schedule(hosts):
    for seed, traces in hosts.items():
        try:
            check_traces(traces)
        except TraceError as error:
            pytest.fail(f"seed {seed}: {error}")
    assert {step["step"] for traces in hosts.values() for trace in traces.values() for step in trace} == STEPS


HOSTS = (*range(8), 29, 55, 119, 303, 327)
"""Seeds of the schedules whose steps are changed one by one. Together, they need every row of the table."""


def test_a_run_with_a_missing_repeated_or_swapped_step_is_rejected_unless_the_model_permits_it(hosts):
    runs = [BACKLOG, ADOPTED, HELD_AGAIN, *(merge(hosts.get(seed) or record_traces(seed)) for seed in HOSTS)]
    line, unexplained, needed = judge(runs, is_run, PERMITTED)
    print(line)
    assert {*map(str, unexplained)} == set()
    assert {row for row in PERMITTED if row not in needed} == set()


@pytest.mark.parametrize("name", ALLOWED)
def test_a_run_that_the_model_allows_is_accepted(name):
    assert is_run(ALLOWED[name])


@pytest.mark.parametrize("name", FORBIDDEN)
def test_a_run_that_the_model_forbids_is_rejected(name):
    assert not is_run(FORBIDDEN[name])


ADOPT_LIVE = Defect(
    "the directory of a live process is adopted",
    "webhook_api/journal/process_directory.py",
    "lock_directory = lambda directory: os.open(directory / 'lock', os.O_RDWR)\n",
)


KNOWN = (
    "no grace period",
    "a new connection proves what the old one carried",
    "a majority is taken for granted",
    "events are published after a report of a lost majority",
)


@pytest.mark.parametrize(
    "defect",
    [ADOPT_LIVE, *(defect for defect in known_defects() if defect.title in KNOWN)],
    ids=lambda defect: defect.title,
)
def test_a_defect_of_the_edge_breaks_the_protocol_in_some_schedule(defect):
    with put_in(defect):
        assert not all(is_run(merge(record_traces(seed))) for seed in SEEDS)


@pytest.fixture(scope="module")
def traces(rabbitmq, tmp_path_factory):
    """Traces of real processes: connections were closed, a process was killed, and a segment was deleted."""
    directory = tmp_path_factory.mktemp("trace")
    traced = directory / "traces"
    traced.mkdir()
    settings = {"OM_EDGE_PROCESSES": "2", "OM_TRACE_DIRECTORY": str(traced)}
    with rabbitmq.make_vhost() as vhost:
        declare_topology(vhost.amqp_url)
        service = Service(directory, vhost.amqp_url, rabbitmq.management_url, settings)
        edge = Edge(service, configuration="tests.model.recorded_edge")
        with running(edge):
            edge.start()
            send(edge, 20)
            close_connections(rabbitmq, vhost)
            send(edge, 20)
            wait_until(lambda: is_connected(edge))
            send(edge, 20)
            os.kill(children_of(edge.pid)[0], signal.SIGKILL)
            send(edge, 20)
            wait_until(lambda: is_connected(edge) and edge.health()["journal_bytes"] == 0)
            # Wait for the step itself, because the health report can date from before the last events.
            wait_until(lambda: any('"unlink"' in path.read_text() for path in traced.iterdir()))
    # The last line of a killed process can be incomplete.
    return {
        path.name: [json.loads(line) for line in path.read_text().split("\n")[:-1]]
        for path in sorted(traced.iterdir())
    }


def send(edge, count):
    codes = set()
    for number in range(count):
        try:
            codes.add(post(edge.url, b'{"number":%d}' % number).status_code)
        except requests.ConnectionError:
            # This request was sent to the process that has just been killed, so it gets no answer.
            continue
    assert codes == {200}


def close_connections(rabbitmq, vhost):
    wait_until(lambda: list_connections(rabbitmq, vhost))
    for name in list_connections(rabbitmq, vhost):
        requests.delete(f"{rabbitmq.management_url}/api/connections/{quote(name, safe='')}", timeout=10)


def list_connections(rabbitmq, vhost):
    url = f"{rabbitmq.management_url}/api/vhosts/{quote(vhost.name, safe='')}/connections"
    return [connection["name"] for connection in requests.get(url, timeout=10).json()]


def is_connected(edge):
    processes = edge.health()["processes"]
    return len(processes) == 2 and all(process["journal"]["broker"] == "up" for process in processes)


def children_of(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_until(condition):
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_the_edge_under_gunicorn_follows_the_protocol(traces):
    assert len(traces) == 3
    assert check_traces(traces) > 100
    assert {step["step"] for trace in traces.values() for step in trace} == IN_A_REAL_RUN
