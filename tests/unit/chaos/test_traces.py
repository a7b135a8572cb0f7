"""After each round, the steps recorded so far are checked."""

import json
import os

import pytest

from tests.chaos.traces import Traces
from tests.model.host import TraceError

HOLD = {"step": "hold", "directory": "s"}
WRITE = {"step": "write", "segment": "s/1", "events": [7]}
RESPOND = {"step": "respond", "events": 1}
SUBMIT = {"step": "submit", "deliveries": [[1, "a"]]}
DEAD = "edge-0-a.jsonl"
"""The file name of a dead process's trace; no process has the id 0."""


@pytest.fixture
def traces(tmp_path):
    return Traces(tmp_path / "traces")


def record(traces, text, name=DEAD):
    with (traces._directory / name).open("a") as trace:
        trace.write(text)


def lines(*steps, t=0.0):
    return "".join(json.dumps({"t": t, **step}) + "\n" for step in steps)


def adopt(directory, own):
    return lines(
        {"step": "hold", "directory": own},
        {"step": "adopt", "segments": [[f"{directory}/1", f"{own}/2"]]},
        t=1.0,
    )


def test_the_next_reading_continues_after_the_last_complete_line(traces):
    record(traces, lines(SUBMIT, SUBMIT | {"deliveries": [[2, "b"]]}), "worker-0-a.jsonl")
    turn = lines(HOLD, WRITE, RESPOND)
    record(traces, turn[:-5])
    assert traces.accept() == 4
    record(traces, turn[-5:])
    record(traces, lines(SUBMIT | {"deliveries": [[3, "c"]]}), "worker-0-a.jsonl")
    assert traces.accept() == 2
    assert traces.accept() == 0


def test_a_forbidden_step_is_found_in_a_later_round(traces):
    record(traces, lines(HOLD, WRITE, RESPOND))
    traces.accept()
    record(traces, lines(RESPOND))
    with pytest.raises(TraceError, match="step 4"):
        traces.accept()


def test_steps_that_are_recorded_during_a_reading_wait_for_the_next_reading(traces):
    record(traces, lines(SUBMIT), "worker-0-a.jsonl")
    record(traces, lines(RESPOND, t=1e15))
    assert traces.accept() == 0


def test_a_live_processs_segments_may_not_be_adopted_even_if_it_takes_no_step(traces):
    name = f"edge-{os.getpid()}-c.jsonl"
    record(traces, lines(HOLD, WRITE, RESPOND), name)
    record(traces, adopt("s", "r"), "edge-0-b.jsonl")
    with (traces._directory / name).open(), pytest.raises(TraceError, match="alive"):
        traces.accept()
