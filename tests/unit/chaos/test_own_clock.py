"""The clock that leaves the machine's other work out counts what the kernel counts, and nothing else."""

import os
import subprocess
import sys
import threading

import pytest

from tests.chaos.own_clock import OwnClock, waits_of
from tests.stand.records import Tried
from tests.stand.waiting import wait_until


def clock_with(*waits):
    """Return a clock that was told of waits for a processor, as (until, seconds), from now on."""
    clock = OwnClock(list, look=False)
    begin = clock.started
    for until, seconds in waits:
        clock.note(begin + until, seconds)
    return clock, begin


def test_it_stands_still_for_as_long_as_somebody_waited_and_goes_on_otherwise():
    clock, begin = clock_with((1.0, 0.0), (3.0, 1.5), (4.0, 0.0))
    assert clock.at(begin + 1.0) - clock.at(begin) == pytest.approx(1.0)
    assert clock.at(begin + 3.0) - clock.at(begin + 1.0) == pytest.approx(0.5)
    assert clock.at(begin + 2.0) - clock.at(begin + 1.0) == pytest.approx(0.25)
    assert clock.at(begin + 9.0) - clock.at(begin + 3.0) == pytest.approx(6.0)


def test_it_never_goes_back_however_many_waited():
    clock, begin = clock_with((1.0, 4.0))
    assert clock.at(begin + 1.0) == pytest.approx(clock.at(begin))


def test_a_stall_that_nobody_waited_in_counts_whole_and_one_for_want_of_a_processor_does_not():
    tries = [Tried(n, due, due, due + 0.1, 200, 0, 1, is_final=False) for n, due in enumerate((0.0, 8.0))]

    def stall_of(clock, begin):
        shifted = [each._replace(due=each.due + begin, ended=each.ended + begin) for each in tries]
        return clock.seen(shifted).longest_stall

    assert stall_of(*clock_with((0.1, 0.0), (8.1, 0.2))) == pytest.approx(7.8)
    assert stall_of(*clock_with((0.1, 0.0), (8.1, 7.0))) == pytest.approx(1.0)


def test_the_kernel_counts_who_is_ready_to_run_and_not_who_waits_for_something_else():
    processor, never = min(os.sched_getaffinity(0)), threading.Event()
    busy = f"import os\nos.sched_setaffinity(0, {{{processor}}})\nwhile True: pass"
    rivals = [subprocess.Popen([sys.executable, "-c", busy]) for _ in range(2)]
    idle = threading.Thread(target=never.wait)
    idle.start()
    try:
        wait_until(lambda: sum(waits_of(rival.pid for rival in rivals).values()) > 0.2, 30, "they take turns")
        assert waits_of([os.getpid()])[str(idle.native_id)] < 0.1
    finally:
        never.set()
        for rival in rivals:
            rival.kill()
            rival.wait()
