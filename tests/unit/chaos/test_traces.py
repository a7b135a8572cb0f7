"""After each round, the steps recorded so far are checked."""

import json
import os
import subprocess
import sys
import threading

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


def test_a_round_waits_until_workers_that_were_cut_off_record_a_step(traces):
    record(traces, lines(HOLD, WRITE, RESPOND))
    timer = threading.Timer(0.5, record, (traces, lines(SUBMIT), "worker-0-a.jsonl"))
    timer.start()
    assert traces.accept(patience=30.0) == 4
    timer.join()


def test_a_forbidden_step_is_found_in_a_later_round(traces):
    record(traces, lines(HOLD, WRITE, RESPOND))
    traces.accept()
    record(traces, lines(RESPOND))
    with pytest.raises(TraceError, match="step 4"):
        traces.accept()


def test_a_round_in_which_one_kind_records_nothing_does_not_count(traces):
    record(traces, lines(HOLD, WRITE, RESPOND))
    assert traces.accept() == 0


def test_steps_that_are_recorded_during_a_reading_wait_for_the_next_reading(traces):
    record(traces, lines(SUBMIT), "worker-0-a.jsonl")
    record(traces, lines(RESPOND, t=1e15))
    assert traces.accept() == 0


def test_a_dead_processs_segments_may_be_adopted(traces):
    record(traces, lines(HOLD, WRITE, RESPOND))
    record(traces, adopt("s", "r"), "edge-0-b.jsonl")
    traces.accept()


def test_a_live_processs_segments_may_not_be_adopted_even_if_it_takes_no_step(traces):
    name = f"edge-{os.getpid()}-c.jsonl"
    record(traces, lines(HOLD, WRITE, RESPOND), name)
    record(traces, adopt("s", "r"), "edge-0-b.jsonl")
    with (traces._directory / name).open(), pytest.raises(TraceError, match="alive"):
        traces.accept()


def test_a_live_process_may_release_its_segments(traces):
    name = f"edge-{os.getpid()}-c.jsonl"
    record(traces, lines(HOLD, WRITE, RESPOND, {"step": "stop"}, {"step": "release"}), name)
    record(traces, adopt("s", "r"), "edge-0-b.jsonl")
    with (traces._directory / name).open():
        traces.accept()


RECORD_AND_DIE = """
import os, signal
from tests.model.recording import TraceFile
trace = TraceFile("edge")
for step in ("hold", "write", "publish"):
    trace.write({"step": step})
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_has_recorded_the_steps_on_which_others_depend(tmp_path):
    environment = {**os.environ, "OM_TRACE_DIRECTORY": str(tmp_path)}
    subprocess.run([sys.executable, "-c", RECORD_AND_DIE], env=environment, check=False)
    [path] = tmp_path.iterdir()
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == ["hold"]
