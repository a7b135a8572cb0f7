"""Look at a backlog, decide, and start or stop workers of this host."""

from __future__ import annotations

import time
from itertools import count, islice
from typing import TYPE_CHECKING

from messaging.log import logger
from workers.scale.decision import Observation, decide

if TYPE_CHECKING:
    from collections.abc import Callable

    from workers.scale.decision import Bounds, Decision
    from workers.scale.fleet import Fleet


class Scaler:
    """One look after the other; what was seen since the last change is kept.

    Args:
        role: Of the workers, for the log.
        bounds: Between what the number moves.
        read_depth: Returns how much waits for the workers; None if it is unknown.
        fleet: The workers.
    """

    def __init__(self, role: str, bounds: Bounds, read_depth: Callable[[], int | None], fleet: Fleet) -> None:
        self._role = role
        self._bounds = bounds
        self._read_depth = read_depth
        self._fleet = fleet
        self._seen: list[Observation] = []
        self._told: tuple[Decision, int | None] | None = None

    def scale(self) -> int:
        """Look once and act; returns 0, so that the role pauses before it looks again.

        Raises:
            RetryLaterError: The workers cannot be asked or told now.
        """
        running = self._fleet.running()
        self._see(Observation(time.monotonic(), self._read_depth(), len(running)))
        decision = decide(self._bounds, self._seen)
        self._tell(decision)
        if decision.workers != len(running):
            self._move(running, decision.workers)
            self._seen.clear()
        return 0

    def _tell(self, decision: Decision) -> None:
        """Log a decision, unless it leaves all as it is and the look before said the same."""
        newest = self._seen[-1]
        told = decision, newest.depth
        if decision.workers == newest.workers and told == self._told:
            return
        self._told = told
        level = "debug" if decision.workers == newest.workers else "info"
        getattr(logger(), level)(
            "scaled",
            role=self._role,
            reason=decision.reason,
            depth=newest.depth,
            workers=newest.workers,
            target=decision.workers,
            seen_for_s=round(newest.at - self._seen[0].at, 1),
        )

    def _see(self, observation: Observation) -> None:
        """Keep an observation, and of the older ones those of the cool-down and one before."""
        oldest = observation.at - self._bounds.cooldown
        while len(self._seen) > 1 and self._seen[1].at <= oldest:
            del self._seen[0]
        self._seen.append(observation)

    def _move(self, running: set[int], target: int) -> None:
        """Start the lowest numbers that are free, or stop the highest."""
        free = (number for number in count(1) if number not in running)
        for number in islice(free, max(0, target - len(running))):
            self._fleet.start(number)
        for number in sorted(running)[target:]:
            self._fleet.stop(number)
