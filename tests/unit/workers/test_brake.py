"""When the brake goes on, and when it does not."""

import pytest

from workers.intake.brake import OFF, Brake


@pytest.mark.parametrize(
    ("share", "died", "is_on"), [(0.9, 9, True), (0.9, 8, False), (0.5, 5, True), (OFF, 10, False)]
)
def test_the_share_of_the_last_events_decides(share, died, is_on):
    brake = Brake(share, recent=10)
    assert brake.note(lived=10 - died, died=died, now_us=1) is is_on
    assert brake.is_on is is_on


def test_fewer_events_decide_nothing():
    brake = Brake(0.9, recent=10)
    assert not brake.note(lived=0, died=9, now_us=1)
    assert brake.note(lived=0, died=1, now_us=1)
    assert not brake.note(lived=0, died=1, now_us=1)


def test_only_the_last_ones_count():
    brake = Brake(0.9, recent=10)
    brake.note(lived=1000, died=0, now_us=1)
    assert not brake.note(lived=0, died=8, now_us=1)
    assert brake.note(lived=0, died=1, now_us=1)


def test_once_released_it_judges_anew():
    brake = Brake(0.9, recent=10)
    brake.note(lived=0, died=10, now_us=1)
    brake.release()
    assert not brake.is_on
    assert not brake.note(lived=0, died=9, now_us=1)


def test_for_as_long_as_a_person_says_it_stops_nothing():
    brake = Brake(0.9, recent=10)
    brake.note(lived=0, died=10, now_us=1)
    brake.release(until_us=100)
    assert not brake.note(lived=0, died=10, now_us=99)
    assert brake.note(lived=0, died=1, now_us=100)
    assert brake.braked_us == 100
