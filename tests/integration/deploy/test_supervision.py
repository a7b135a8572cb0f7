"""Processes in one terminal end together, and the next run ends the orphans of a killed one."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from deploy.local.process import MARK, end_orphans, exit_on_signals, run_processes
from deploy.local.rabbitmq import LocalRabbitMQ
from deploy.local.running import single_instance
from tests.servers import ServerStartError, require_rabbitmq
from tests.waiting import wait_until

FOR_EVER = ["sleep", "600"]
PROJECT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _signals_as_before():
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def never():
    return False


def test_when_one_process_ends_the_others_are_ended_and_it_is_named(tmp_path):
    output = tmp_path / "output.log"
    commands = {"steady": FOR_EVER, "short": ["sh", "-c", "echo spoken; sleep 0.3; exit 3"]}
    with (
        pytest.raises(ServerStartError, match="short ended with status 3"),
        run_processes(commands, tmp_path, output=output) as wait,
    ):
        wait(never, 60)
    assert output.read_text() == "spoken\n"
    assert processes_in(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_all_and_a_second_one_leaves_none_behind(tmp_path, number):
    slow = ["sh", "-c", "trap 'sleep 0.3; exit' TERM; while :; do sleep 0.1; done"]
    exit_on_signals()
    for delay in (0.3, 0.5):
        threading.Timer(delay, os.kill, (os.getpid(), number)).start()
    with pytest.raises(SystemExit), run_processes({"a": FOR_EVER, "b": slow}, tmp_path) as wait:
        wait(never, 60)
    assert processes_in(tmp_path) == []


def test_the_children_of_a_killed_process_are_ended(tmp_path):
    def kill_parent():
        left = processes_in(tmp_path)
        if len(left) == 2:
            next(process for process in left if process.name() == "sh").kill()
        return False

    parent = ["sh", "-c", "sleep 600 & wait"]
    with (
        pytest.raises(ServerStartError, match="parent ended"),
        run_processes({"parent": parent}, tmp_path) as wait,
    ):
        wait(kill_parent, 60)
    # It is an orphan, so no process here can have waited for its end.
    wait_until(lambda: not processes_in(tmp_path), 10, "what it started ends")


def test_a_node_whose_start_is_interrupted_is_not_left_behind(tmp_path, monkeypatch):
    require_rabbitmq()
    monkeypatch.setattr(LocalRabbitMQ, "wait_ready", lambda _: sys.exit(130))
    with pytest.raises(SystemExit), LocalRabbitMQ(tmp_path):
        pass
    assert processes_in(tmp_path) == []


def processes_in(directory):
    return [process for process in psutil.process_iter(["cwd"]) if process.info["cwd"] == str(directory)]


def test_only_orphans_of_the_directory_are_ended(tmp_path):
    own, other = tmp_path / "own", tmp_path / "other"
    for directory in (own, other):
        directory.mkdir()
    left = subprocess.Popen(["sleep", "600"], cwd=own, env={**os.environ, MARK: str(own / "below")})
    kept = subprocess.Popen(["sleep", "600"], cwd=own, env={**os.environ, MARK: str(other)})
    # Until the child has become `sleep` its environment is this process's.
    time.sleep(0.2)
    end_orphans(own)
    assert left.poll() is not None
    assert kept.poll() is None
    kept.kill()
    kept.wait()


def test_a_lock_is_free_again_when_its_holder_was_killed(tmp_path):
    path = tmp_path / "lock"
    code = "import sys, time; from pathlib import Path; from deploy.local.running import single_instance\n"
    code += "with single_instance(Path(sys.argv[1])): print('held', flush=True); time.sleep(600)"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, cwd=PROJECT
    ) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(ServerStartError, match=str(holder.pid)), single_instance(path):
            pass
        holder.kill()
        holder.wait()
    with single_instance(path):
        pass
