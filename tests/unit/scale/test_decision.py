"""How many workers there shall be, from what was seen."""

import pytest

from workers.scale import Bounds, Decision, Observation, decide

BOUNDS = Bounds(floor=1, ceiling=4, events_per_worker=1000, cooldown=60.0)


def seen(*depths, workers=1, every=10.0):
    return [Observation(index * every, depth, workers) for index, depth in enumerate(depths)]


@pytest.mark.parametrize(
    ("observations", "decision"),
    [
        (seen(0), Decision(1, "enough")),
        (seen(1000), Decision(1, "enough")),
        (seen(1001), Decision(2, "deep")),
        (seen(3500), Decision(4, "deep")),
        (seen(900_000), Decision(4, "deep")),
        (seen(900_000, workers=4), Decision(4, "enough")),
        (seen(None), Decision(1, "depth_unknown")),
        (seen(None, workers=3), Decision(3, "depth_unknown")),
        # Fewer are enough, but not yet for long.
        (seen(0, 0, 0, workers=4), Decision(4, "enough")),
        # For the whole cool-down: one fewer, not all at once.
        (seen(0, 0, 0, 0, 0, 0, 0, workers=4), Decision(3, "calm")),
        # One moment of the cool-down wanted them.
        (seen(0, 0, 3500, 0, 0, 0, 0, workers=4), Decision(4, "enough")),
        # A moment that nobody knows of is no calm moment.
        (seen(0, 0, None, 0, 0, 0, 0, workers=4), Decision(4, "enough")),
        # What was before the cool-down does not count.
        (seen(3500, 0, 0, 0, 0, 0, 0, 0, workers=4), Decision(3, "calm")),
        # The drain still needs three.
        (seen(2500, 2500, 2500, 2500, 2500, 2500, 2500, workers=3), Decision(3, "enough")),
        # Nobody runs, or somebody started more than are allowed.
        (seen(0, workers=0), Decision(1, "bounds")),
        (seen(None, workers=0), Decision(1, "bounds")),
        (seen(900_000, workers=9), Decision(4, "bounds")),
        # At the floor there is nobody to stop.
        (seen(0, 0, 0, 0, 0, 0, 0, workers=1), Decision(1, "enough")),
    ],
)
def test_up_at_once_and_down_one_by_one_after_a_calm_time(observations, decision):
    assert decide(BOUNDS, observations) == decision
