"""How many workers there shall be, by the observations."""

import pytest

from workers.scale.scaler import FleetLimits, FleetTarget, Observation, decide

LIMITS = FleetLimits(floor=1, ceiling=4, events_per_worker=1000, cooldown=60.0)


def seen(*depths, workers=1, every=10.0):
    return [Observation(index * every, depth, workers) for index, depth in enumerate(depths)]


@pytest.mark.parametrize(
    ("observations", "decision"),
    [
        (seen(0), FleetTarget(1, "enough")),
        (seen(1000), FleetTarget(1, "enough")),
        (seen(1001), FleetTarget(2, "deep")),
        (seen(3500), FleetTarget(4, "deep")),
        (seen(900_000), FleetTarget(4, "deep")),
        (seen(900_000, workers=4), FleetTarget(4, "enough")),
        (seen(None), FleetTarget(1, "depth_unknown")),
        (seen(None, workers=3), FleetTarget(3, "depth_unknown")),
        # Fewer are enough, but not yet for long.
        (seen(0, 0, 0, workers=4), FleetTarget(4, "enough")),
        # For the whole cool-down: one fewer, not all at once.
        (seen(0, 0, 0, 0, 0, 0, 0, workers=4), FleetTarget(3, "calm")),
        # One moment of the cool-down wanted them.
        (seen(0, 0, 3500, 0, 0, 0, 0, workers=4), FleetTarget(4, "enough")),
        # A moment of unknown depth is not calm.
        (seen(0, 0, None, 0, 0, 0, 0, workers=4), FleetTarget(4, "enough")),
        # Depths before the cool-down do not count.
        (seen(3500, 0, 0, 0, 0, 0, 0, 0, workers=4), FleetTarget(3, "calm")),
        # The drain still needs three.
        (seen(2500, 2500, 2500, 2500, 2500, 2500, 2500, workers=3), FleetTarget(3, "enough")),
        # None runs, or an operator started more than are allowed.
        (seen(0, workers=0), FleetTarget(1, "bounds")),
        (seen(None, workers=0), FleetTarget(1, "bounds")),
        (seen(900_000, workers=9), FleetTarget(4, "bounds")),
        # At the floor there is none to stop.
        (seen(0, 0, 0, 0, 0, 0, 0, workers=1), FleetTarget(1, "enough")),
    ],
)
def test_up_at_once_and_down_one_by_one_after_a_calm_time(observations, decision):
    assert decide(LIMITS, observations) == decision
