"""A good event's wait is compared with the normal wait. Time spent waiting for a CPU does not count."""

import pytest

from tests.chaos.held import expect_no_longer_wait
from tests.chaos.waits import Good, Waited, Watched

NORMAL, STRUCK = (0.0, 10.0), (20.0, 30.0)
WATCHED = Watched("strike", Good(2.0), NORMAL, STRUCK)
ANSWERED = {number: 1.0 + number for number in range(3)} | {10 + number: 21.0 + number for number in range(3)}


def effects(normal, struck):
    return {number: at + (normal if at < 10.0 else struck) for number, at in ANSWERED.items()}


def test_only_the_part_of_a_wait_above_the_normal_wait_counts_and_no_wait_for_a_cpu():
    assert WATCHED.waited(ANSWERED, effects(0.5, 2.0)) == pytest.approx(1.5)
    assert WATCHED.waited(ANSWERED, effects(2.0, 0.5)) == 0.0
    assert WATCHED.waited(ANSWERED, effects(0.5, 4.0), lambda moment: moment / 4) == pytest.approx(0.875)
    answered = {number: at for number, at in effects(0.5, 2.0).items() if number < 10}
    assert WATCHED.waited(ANSWERED, answered) > 100.0


@pytest.mark.parametrize(
    ("real", "own", "may"), [(1.9, 1.9, True), (20.9, 0.5, True), (2.2, 2.1, False), (21.1, 0.5, False)]
)
def test_the_limit_is_two_seconds_by_the_processes_clock_and_21_seconds_by_the_machines_clock(real, own, may):
    if may:
        expect_no_longer_wait(WATCHED, Waited(real, own), 2.0)
        return
    with pytest.raises(AssertionError, match="a good event waited"):
        expect_no_longer_wait(WATCHED, Waited(real, own), 2.0)
