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

from tests.model.edge_recording import record_edge
from tests.model.trace import TraceError, check_trace
from tests.services import Edge, Service, declare_topology, post, running
from tests.simulation.defects import known_defects, put_in
from tests.simulation.schedule import choose, run

SEEDS = [seed for seed in range(150) if not choose(seed).setting.confirms]
"""Seeds of schedules without publisher confirms: trace.py checks only the protocol without them."""

STEPS = {
    "write",
    "publish",
    "respond",
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
INDEPENDENT = [
    {"answer", "read"},
    {"probe", "read"},
    {"answer", "publish"},
    {"probe", "publish"},
    {"close", "probe"},
    {"close", "answer"},
    {"interrupt"},
    {"adopt"},
]
"""Pairs of kinds of steps that may occur in either order. For example, the backlog does not affect a probe. A
step of a kind that stands alone may be swapped with any other step."""

SECONDS = 60.0


def is_run(trace):
    try:
        check_trace(trace)
    except TraceError:
        return False
    return True


def record_traces(seed):
    """Run a simulated schedule; return its edge processes' traces, and the numbers of the live processes."""
    traces, worlds = defaultdict(list), []

    def process():
        return worlds[0].files.process.number

    end = record_edge(lambda step: traces[process()].append(step), process)  # noqa: PLW0108  # the process is known only at the call
    try:
        run(choose(seed), watch=worlds.append)
    finally:
        end()
    return traces, {living.number for living in worlds[0].living}


@pytest.fixture(scope="module")
def hosts():
    return {seed: record_traces(seed) for seed in SEEDS}


def test_the_edge_follows_the_protocol_in_every_schedule(hosts):
    for seed, (traces, _) in hosts.items():
        for trace in traces.values():
            try:
                check_trace(trace)
            except TraceError as error:
                pytest.fail(f"seed {seed}: {error}")
    assert {
        step["step"] for traces, _ in hosts.values() for trace in traces.values() for step in trace
    } == STEPS


def changes_nothing(trace, number):
    """Return whether a step has no effect: it has no events or segments, or is an interrupted probe."""
    step, later = trace[number], [one["step"] for one in trace[number + 1 :]]
    ends = {"probe": {"answer", "interrupt"}, "answer": {"probe", "unlink", "interrupt"}}.get(
        step["step"], set()
    )
    following = next((kind for kind in later if kind in ends), "interrupt")
    return step.get("segments") == [] or step.get("events") == 0 or bool(ends and following == "interrupt")


def may_be_swapped(first, second):
    kinds = {first["step"], second["step"]}
    if first == second or 0 in {first.get("events"), second.get("events")}:
        return True
    return any(kinds == pair or (len(pair) == 1 and pair < kinds) for pair in INDEPENDENT)


def test_a_trace_with_a_missing_repeated_or_swapped_step_is_rejected(hosts):
    changed = 0
    # Use only live processes, because a killed process's last steps may have no consequence.
    chosen = [traces[number] for traces, living in list(hosts.values())[:20] for number in sorted(living)]
    for trace in chosen:
        for number in range(len(trace) - 3):
            before, step, after = trace[:number], trace[number], trace[number + 1 :]
            if not changes_nothing(trace, number):
                assert not is_run([*before, *after]), f"{step} is left out"
                assert not is_run([*before, step, step, *after]), f"{step} is doubled"
            if not may_be_swapped(step, after[0]):
                assert not is_run([*before, after[0], step, *after[1:]]), f"{step} and {after[0]} are swapped"
            changed += 1
    assert changed > 1000


@pytest.mark.parametrize("title", ["no grace period", "a new connection proves what the old one carried"])
def test_a_defect_of_the_edge_breaks_the_protocol_in_some_schedule(title):
    [defect] = [one for one in known_defects() if one.title == title]
    with put_in(defect):
        traces = [trace for seed in SEEDS for trace in record_traces(seed)[0].values()]
    assert not all(map(is_run, traces))


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
            # Wait for the step itself: the health endpoint may report the journal before the last events.
            wait_until(lambda: any('"unlink"' in path.read_text() for path in traced.iterdir()))
    return [
        # The last line of a killed process may be incomplete.
        [json.loads(line) for line in path.read_text().split("\n")[:-1]]
        for path in sorted(traced.iterdir())
    ]


def send(edge, count):
    codes = set()
    for number in range(count):
        try:
            codes.add(post(edge.url, b'{"number":%d}' % number).status_code)
        except requests.ConnectionError:
            # This request was sent to the process that has just been killed, so it has no answer.
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
    assert sum(check_trace(trace) for trace in traces) > 100
    assert {step["step"] for trace in traces for step in trace} == STEPS - {"fail", "postpone"}
