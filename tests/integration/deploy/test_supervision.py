"""All processes started from one terminal end together; the next run ends the orphans of a killed run."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from deploy.local.process import MARK, end_orphans, exit_on_signals, free_port, run_processes
from deploy.local.rabbitmq import LocalRabbitMQ
from deploy.local.running import single_instance
from tests.servers import ServerStartError, require_rabbitmq
from tests.waiting import wait_until

ENDLESS = ["sleep", "600"]
PROJECT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _restore_signal_handlers():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def never():
    return False


def processes_in(directory):
    return [process for process in psutil.process_iter(["cwd"]) if process.info["cwd"] == str(directory)]


def test_if_one_process_ends_all_others_are_ended_and_the_error_names_the_process(tmp_path):
    output = tmp_path / "output.log"
    commands = {"steady": ENDLESS, "short": ["sh", "-c", "echo printed; sleep 0.3; exit 3"]}
    with (
        pytest.raises(ServerStartError, match="short ended with status 3"),
        run_processes(commands, tmp_path, output=output) as wait,
    ):
        wait(never, 60)
    assert output.read_text() == "printed\n"
    assert processes_in(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_all_processes_end_even_if_a_second_signal_arrives_while_they_stop(tmp_path, number):
    slow = ["sh", "-c", "trap 'sleep 0.3; exit' TERM; while :; do sleep 0.1; done"]
    exit_on_signals()
    for delay in (0.3, 0.5):
        threading.Timer(delay, os.kill, (os.getpid(), number)).start()
    with pytest.raises(SystemExit), run_processes({"a": ENDLESS, "b": slow}, tmp_path) as wait:
        wait(never, 60)
    assert processes_in(tmp_path) == []


def test_the_children_of_a_killed_process_are_ended(tmp_path):
    def kill_parent():
        running = processes_in(tmp_path)
        if len(running) == 2:
            next(process for process in running if process.name() == "sh").kill()
        return False

    commands = {"parent": ["sh", "-c", "sleep 600 & wait"]}
    with pytest.raises(ServerStartError, match="parent ended"), run_processes(commands, tmp_path) as wait:
        wait(kill_parent, 60)
    # The child is an orphan, so run_processes cannot wait until the child has ended.
    wait_until(lambda: not processes_in(tmp_path), 10, "the orphan ends")


def test_an_interrupted_start_of_a_broker_leaves_no_process(tmp_path, monkeypatch):
    require_rabbitmq()
    monkeypatch.setattr(LocalRabbitMQ, "wait_ready", lambda _: sys.exit(130))
    with pytest.raises(SystemExit), LocalRabbitMQ(tmp_path):
        pass
    assert processes_in(tmp_path) == []


def test_only_orphans_of_the_directory_are_ended(tmp_path):
    own, other = tmp_path / "own", tmp_path / "other"
    own.mkdir()
    orphan = subprocess.Popen(ENDLESS, cwd=own, env={**os.environ, MARK: str(own / "below")})
    foreign = subprocess.Popen(ENDLESS, cwd=own, env={**os.environ, MARK: str(other)})
    # Until the child has executed `sleep`, it has the environment of this process.
    time.sleep(0.2)
    end_orphans(own)
    assert orphan.poll() is not None
    assert foreign.poll() is None
    foreign.kill()
    foreign.wait()


def test_the_lock_of_a_killed_process_is_released(tmp_path):
    path = tmp_path / "lock"
    code = "import sys, time; from pathlib import Path; from deploy.local.running import single_instance\n"
    code += "with single_instance(Path(sys.argv[1])): print('held', flush=True); time.sleep(600)"
    command = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=PROJECT) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(ServerStartError, match=str(holder.pid)), single_instance(path):
            pass
        holder.kill()
        holder.wait()
    with single_instance(path):
        pass


def test_two_processes_never_get_the_same_free_port(monkeypatch):
    other = "from deploy.local.process import free_port; print(free_port(), flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", other], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        taken = int(process.stdout.readline())
        # Other tests that run at the same time can hold some of the remaining ports.
        monkeypatch.setattr("random.sample", lambda ports, **_: [taken, *ports])
        # The other process has not bound its port yet.
        assert free_port() != taken
        process.communicate("\n")
