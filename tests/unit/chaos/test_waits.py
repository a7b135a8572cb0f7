"""The waits of good events are compared with the normal wait, without waits for a processor."""

import pytest

from tests.chaos.held import expect_no_longer_wait
from tests.chaos.waits import Good, Waited, Watched

NORMAL, STRUCK = (0.0, 10.0), (20.0, 30.0)
WATCHED = Watched("strike", Good(2.0), NORMAL, STRUCK)
ANSWERED = {number: 1.0 + number for number in range(3)} | {10 + number: 21.0 + number for number in range(3)}


def effects(normal, struck):
    return {number: at + (normal if at < 10.0 else struck) for number, at in ANSWERED.items()}


def test_only_the_time_above_the_normal_wait_counts():
    assert WATCHED.waited(ANSWERED, effects(0.5, 2.0)) == pytest.approx(1.5)
    assert WATCHED.waited(ANSWERED, effects(2.0, 0.5)) == 0.0


def test_the_processes_own_clock_excludes_waits_for_a_processor():
    assert WATCHED.waited(ANSWERED, effects(0.5, 4.0), lambda moment: moment / 4) == pytest.approx(0.875)


def test_an_event_without_an_effect_still_waits():
    answered = {number: at for number, at in effects(0.5, 2.0).items() if number < 10}
    assert WATCHED.waited(ANSWERED, answered) > 100.0


@pytest.mark.parametrize(
    ("real", "own", "may"), [(1.9, 1.9, True), (6.9, 0.5, True), (2.2, 2.1, False), (7.1, 0.5, False)]
)
def test_the_bound_is_strict_on_the_own_clock_and_loose_on_the_machines_clock(real, own, may):
    if may:
        expect_no_longer_wait(WATCHED, Waited(real, own), 2.0)
        return
    with pytest.raises(AssertionError, match="a good event waited"):
        expect_no_longer_wait(WATCHED, Waited(real, own), 2.0)
