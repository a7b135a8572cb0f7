"""A growing backlog adds workers at once; a shrinking backlog removes workers after a cool-down."""

from dataclasses import dataclass, field

import pytest
from structlog.testing import capture_logs

from workers.scale import FleetLimits, Scaler
from workers.scale.scaler import decide


@dataclass
class FleetInMemory:
    numbers: set[int] = field(default_factory=set)

    def running(self):
        return set(self.numbers)

    def start(self, number):
        self.numbers.add(number)

    def stop(self, number):
        self.numbers.remove(number)


def test_the_workers_with_the_lowest_free_numbers_start_and_those_with_the_highest_stop():
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
        # After a worker is stopped, the cool-down restarts.
        ([0] * 13, 3),
        ([0] * 14, 2),
        # A deep queue or an unknown depth keeps all workers only if it occurs during the cool-down.
        ([0, 0, 3500, 0, 0, 0, 0], 4),
        ([0, 0, None, 0, 0, 0, 0], 4),
        ([3500, 0, 0, 0, 0, 0, 0, 0], 3),
        # A backlog that needs three workers keeps three. Without a backlog, only the floor of one is left.
        ([2500] * 20, 3),
        ([0] * 60, 1),
    ],
)
def test_a_worker_is_stopped_if_fewer_workers_were_enough_for_the_whole_cool_down(depths, workers):
    looks, fleet = iter(range(100)), FleetInMemory({1, 2, 3, 4})
    limits, left = FleetLimits(1, 4, 1000, cooldown=60.0), iter(depths)
    scaler = Scaler("intake", limits, lambda: next(left), fleet, timer=lambda: 10.0 * next(looks))
    for _ in depths:
        scaler.scale()
    assert len(fleet.numbers) == workers


def test_a_decision_that_changes_nothing_is_logged_once():
    depths, fleet = [0], FleetInMemory({1})
    scaler = Scaler("intake", FleetLimits(1, 4, 1000, cooldown=3600.0), lambda: depths[-1], fleet)
    with capture_logs() as lines:
        for depth in (0, 0, 10, 10, 5000, 0):
            depths.append(depth)
            scaler.scale()
    assert [line["depth"] for line in lines] == [0, 10, 5000, 0]


def test_the_cool_down_starts_again_if_a_worker_ends_by_itself():
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


LIMITS = FleetLimits(floor=1, ceiling=4, events_per_worker=1000, cooldown=60.0)


@pytest.mark.parametrize(
    ("workers", "depth", "calm_seconds", "decision"),
    [
        (1, 0, None, (1, "enough")),
        (1, 1000, None, (1, "enough")),
        (1, 1001, None, (2, "deep")),
        (1, 3500, None, (4, "deep")),
        (1, 900_000, None, (4, "deep")),
        (4, 900_000, None, (4, "enough")),
        (1, None, None, (1, "depth_unknown")),
        (3, None, None, (3, "depth_unknown")),
        # Fewer workers have been enough, but not yet for the whole cool-down.
        (4, 0, 59.0, (4, "enough")),
        # Fewer workers were enough for the whole cool-down, so one worker is stopped, not several at once.
        (4, 0, 60.0, (3, "calm")),
        # No worker runs, or an operator has started more workers than the ceiling.
        (0, 0, None, (1, "bounds")),
        (0, None, None, (1, "bounds")),
        (9, 900_000, None, (4, "bounds")),
    ],
)
def test_workers_are_added_at_once_and_removed_one_by_one_after_a_cool_down(
    workers, depth, calm_seconds, decision
):
    assert decide(LIMITS, workers, depth, calm_seconds) == decision
