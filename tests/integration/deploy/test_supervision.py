"""Processes in one terminal end together, and what a killed run left is ended by the next."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from deploy.local.leftovers import MARK, end_leftovers
from deploy.local.lock import only_one
from deploy.local.supervision import Supervisor
from tests.servers import ServerStartError

FOR_EVER = ["sleep", "600"]


@pytest.fixture(autouse=True)
def _signals_as_before():
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def test_when_one_process_ends_the_others_are_ended_and_it_is_named(tmp_path):
    output = tmp_path / "output.log"
    commands = {"steady": FOR_EVER, "short": ["sh", "-c", "echo spoken; sleep 0.3; exit 3"]}
    supervisor = Supervisor(commands, tmp_path, output=output)
    assert supervisor.run(beside=lambda: None) == "short ended with status 3"
    assert output.read_text() == "spoken\n"
    assert processes_in(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_all_and_is_no_fault(tmp_path, number):
    supervisor = Supervisor({"a": FOR_EVER, "b": FOR_EVER}, tmp_path)
    assert supervisor.run(beside=lambda: os.kill(os.getpid(), number)) is None
    assert processes_in(tmp_path) == []


def test_a_thread_beside_them_can_ask_for_the_end(tmp_path):
    supervisor = Supervisor({"a": FOR_EVER}, tmp_path)
    assert supervisor.run(beside=supervisor.end) is None
    assert processes_in(tmp_path) == []


def processes_in(directory):
    return [process for process in psutil.process_iter(["cwd"]) if process.info["cwd"] == str(directory)]


def test_what_was_started_in_the_directory_is_ended_and_nothing_else(tmp_path):
    own, other = tmp_path / "own", tmp_path / "other"
    for directory in (own, other):
        directory.mkdir()
    left = subprocess.Popen(["sleep", "600"], cwd=own, env={**os.environ, MARK: str(own / "below")})
    kept = subprocess.Popen(["sleep", "600"], cwd=own, env={**os.environ, MARK: str(other)})
    # Until the child has become `sleep` its environment is this process's.
    time.sleep(0.2)
    reaper = threading.Thread(target=left.wait)
    reaper.start()
    end_leftovers(own)
    reaper.join()
    assert left.returncode == -signal.SIGTERM
    assert kept.poll() is None
    kept.kill()
    kept.wait()


def test_a_lock_is_free_again_when_its_holder_was_killed(tmp_path):
    path = tmp_path / "lock"
    code = "import sys, time; from pathlib import Path; from deploy.local.lock import only_one\n"
    code += "with only_one(Path(sys.argv[1])): print('held', flush=True); time.sleep(600)"
    project = Path(__file__).parents[3]
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, cwd=project
    ) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(ServerStartError, match=str(holder.pid)), only_one(path):
            pass
        holder.kill()
        holder.wait()
    with only_one(path):
        pass
