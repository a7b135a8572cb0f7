"""Test that the edge loses no event in many schedules, that defects are found, and that seeds repeat runs."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from tests.simulation.__main__ import find, simulate
from tests.simulation.defects import known_defects, put_in
from tests.simulation.file_system import FileSystem
from tests.simulation.nodes import Directory
from tests.simulation.paths import SimulatedPath
from tests.simulation.schedule import choose, run, shrink

SEEDS = 1000
SELECTED = {
    "the dead are not adopted": 300,
    "a new connection proves what the old one carried": 300,
}
"""How many seeds are enough to find each selected defect."""


@pytest.mark.timeout(300)
def test_none_of_a_thousand_schedules_breaks_a_promise(capsys):
    assert simulate("edge", 0, SEEDS) == 0
    assert f"simulate: schedules={SEEDS} lost=0 repeated=0\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("seed", "reason"),
    [
        (63290, "events that were refused after they were written fill the journal until they are proven"),
        (90970, "so does what a killed process wrote and never answered"),
        (63694, "the last requests are read after the last fault"),
        (90328, "a process is frozen for longer than a schedule"),
        (85327, "a new process has no report of the queue's depth yet"),
        (62787, "a process has just been resumed and has no report of the queue's depth yet"),
    ],
)
def test_a_refusal_for_a_known_reason_breaks_no_promise(seed, reason):
    assert run(choose(seed)).broken is None, reason


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "defect", [one for one in known_defects() if one.title in SELECTED], ids=lambda defect: defect.title
)
def test_a_defect_is_found_and_shown_by_its_shortest_schedule(defect):
    seed, broken = find("edge", defect, SELECTED[defect.title])
    assert seed is not None
    with put_in(defect):
        shorter = shrink(choose(seed))
        assert run(shorter).broken
        for left_out in range(len(shorter.actions)):
            actions = shorter.actions[:left_out] + shorter.actions[left_out + 1 :]
            assert not run(type(shorter)(seed, shorter.setting, actions)).broken
    assert run(shorter).broken is None, f"the defect alone explains {broken}"


def test_the_selected_defects_are_known():
    assert SELECTED.keys() <= {defect.title for defect in known_defects()}


@pytest.mark.parametrize("seed", range(20))
def test_a_seed_repeats_its_run_byte_for_byte(seed):
    stories = []
    for _ in range(2):
        story = []
        run(choose(seed), story.append)
        stories.append("\n".join(story))
    assert stories[0] == stories[1]
    assert "starts" in stories[0]


def test_the_command_repeats_a_run_byte_for_byte_in_another_process():
    # Unless the command fixes the seed of Python's hashes, the order of this run's log lines varies.
    command = [sys.executable, "-m", "tests.simulation", "--seed", "259"]
    stories = {subprocess.check_output(command, env=os.environ | {"PYTHONHASHSEED": one}) for one in "12"}
    assert len(stories) == 1


class Least:
    """Replaces the random generator with choices that make a power cut keep the least possible data."""

    def randint(self, least, _most):
        return least

    def choice(self, values):
        return min(values)


@pytest.fixture
def files():
    files = FileSystem(lambda: 0, lambda _name: None, lambda _path, _file: None)
    files.process = SimpleNamespace(number=1)
    files.top.entries["d"] = files.top.durable["d"] = Directory()
    return files


def test_only_flushed_data_under_flushed_names_survives_a_power_cut(files):
    directory = SimulatedPath(files, ("d",))
    for name in ("named", "unnamed"):
        descriptor = files.open(directory / name, files.O_CREAT)
        files.write(descriptor, b"flushed")
        files.fdatasync(descriptor)
        files.write(descriptor, b" and not")
        if name == "named":
            files.fsync(files.open(directory, files.O_RDONLY))

    files.cut_power(Least())

    assert [path.name for path in directory.iterdir()] == ["named"]
    assert (directory / "named").read_bytes() == b"flushed"


def test_a_kill_keeps_written_data_and_releases_locks(files):
    path = SimulatedPath(files, ("d", "lock"))
    descriptor = files.open(path, files.O_CREAT)
    files.flock(descriptor, files.LOCK_EX)
    files.write(descriptor, b"written")
    with pytest.raises(BlockingIOError):
        files.flock(files.open(path, files.O_RDWR), files.LOCK_EX)

    files.release(files.process)

    files.flock(files.open(path, files.O_RDWR), files.LOCK_EX)
    assert path.read_bytes() == b"written"


def test_data_whose_flush_failed_is_lost_despite_later_flushes(files):
    directory = SimulatedPath(files, ("d",))
    descriptor = files.open(directory / "file", files.O_CREAT)
    files.fsync(files.open(directory, files.O_RDONLY))
    files.write(descriptor, b"lost")
    files.errors["fdatasync"] = 5
    with pytest.raises(OSError, match="Input/output error"):
        files.fdatasync(descriptor)
    files.errors.clear()
    files.write(descriptor, b"kept")
    files.fdatasync(descriptor)

    files.cut_power(Least())

    assert (directory / "file").read_bytes() == bytes(4) + b"kept"
