"""How the scaler starts and stops workers, in a fleet that is only numbers."""

from dataclasses import dataclass, field

import pytest
from structlog.testing import capture_logs

from workers.scale import FleetLimits, Scaler


@dataclass
class FleetInMemory:
    numbers: set[int] = field(default_factory=set)

    def running(self):
        return set(self.numbers)

    def start(self, number):
        self.numbers.add(number)

    def stop(self, number):
        self.numbers.remove(number)


def test_the_lowest_free_numbers_are_started_and_the_highest_stopped():
    depths, fleet = [3500], FleetInMemory({1, 3})
    scaler = Scaler("intake", FleetLimits(1, 4, 1000, cooldown=0.0), lambda: depths[-1], fleet)

    scaler.scale()
    assert fleet.numbers == {1, 2, 3, 4}

    depths.append(0)
    for _ in range(5):
        scaler.scale()
    assert fleet.numbers == {1}


@pytest.mark.parametrize(
    ("depths", "workers"),
    [
        ([0] * 6, 4),
        # After one is stopped, the cool-down begins anew.
        ([0] * 13, 3),
        ([0] * 14, 2),
        # One moment of the cool-down wanted them, or its depth is unknown; before the cool-down it may.
        ([0, 0, 3500, 0, 0, 0, 0], 4),
        ([0, 0, None, 0, 0, 0, 0], 4),
        ([3500, 0, 0, 0, 0, 0, 0, 0], 3),
        # The drain still needs three, or none is left to stop.
        ([2500] * 20, 3),
        ([0] * 60, 1),
    ],
)
def test_one_is_stopped_when_fewer_were_enough_for_the_whole_cool_down(depths, workers):
    looks, fleet = iter(range(100)), FleetInMemory({1, 2, 3, 4})
    limits, left = FleetLimits(1, 4, 1000, cooldown=60.0), iter(depths)
    scaler = Scaler("intake", limits, lambda: next(left), fleet, timer=lambda: 10.0 * next(looks))
    for _ in depths:
        scaler.scale()
    assert len(fleet.numbers) == workers


def test_a_look_that_changes_nothing_is_logged_once():
    depths, fleet = [0], FleetInMemory({1})
    scaler = Scaler("intake", FleetLimits(1, 4, 1000, cooldown=3600.0), lambda: depths[-1], fleet)

    with capture_logs() as lines:
        for depth in (0, 0, 10, 10, 5000, 0):
            depths.append(depth)
            scaler.scale()
    assert [line["depth"] for line in lines] == [0, 10, 5000, 0]


def test_the_cool_down_begins_anew_if_a_worker_ends_by_itself():
    depths, fleet, now = [2500], FleetInMemory({1, 2, 3, 4}), [0.0]
    limits = FleetLimits(1, 4, 1000, cooldown=60.0)
    scaler = Scaler("intake", limits, lambda: depths[-1], fleet, timer=lambda: now[-1])
    scaler.scale()

    fleet.numbers.remove(4)
    depths.append(1500)
    now.append(60.0)
    scaler.scale()
    assert fleet.numbers == {1, 2, 3}

    now.append(120.0)
    scaler.scale()
    assert fleet.numbers == {1, 2}
