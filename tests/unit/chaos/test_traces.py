"""After each round, the steps recorded so far are checked."""

import json

import pytest

from tests.chaos.traces import Traces
from tests.model.trace import TraceError

WRITE = {"step": "write", "segment": "s/1", "events": 1}
PUBLISH = {"step": "publish", "events": 1}
RESPOND = {"step": "respond", "events": 1}


@pytest.fixture
def traces(tmp_path):
    return Traces(tmp_path / "traces")


def record(traces, text):
    with (traces._directory / "1.jsonl").open("a") as trace:
        trace.write(text)


def lines(*steps):
    return "".join(json.dumps(step) + "\n" for step in steps)


def test_the_next_reading_continues_after_the_last_complete_line(traces):
    turn = lines(WRITE, PUBLISH, RESPOND)
    record(traces, turn[:-5])
    assert traces.accept() == 2
    record(traces, turn[-5:])
    assert traces.accept() == 1
    assert traces.accept() == 0


def test_a_forbidden_step_is_found_in_a_later_round(traces):
    record(traces, lines(WRITE, PUBLISH, RESPOND))
    traces.accept()
    record(traces, lines(RESPOND))
    with pytest.raises(TraceError, match="step 4"):
        traces.accept()
