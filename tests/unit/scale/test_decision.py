"""How many workers there shall be, by the backlog and by how long fewer have been enough."""

import pytest

from workers.scale.scaler import FleetLimits, decide

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
        # Fewer are enough, but not yet for long.
        (4, 0, 59.0, (4, "enough")),
        # For the whole cool-down: one fewer, not all at once.
        (4, 0, 60.0, (3, "calm")),
        # None runs, or an operator started more than are allowed.
        (0, 0, None, (1, "bounds")),
        (0, None, None, (1, "bounds")),
        (9, 900_000, None, (4, "bounds")),
    ],
)
def test_up_at_once_and_down_one_by_one_after_a_calm_time(workers, depth, calm_seconds, decision):
    assert decide(LIMITS, workers, depth, calm_seconds) == decision
