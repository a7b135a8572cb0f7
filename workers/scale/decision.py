"""Decide how many workers there shall be: up at once, down one by one and only after a calm time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Bounds:
    """Between what the number of workers moves, and how.

    Args:
        floor: Fewest workers, whatever waits.
        ceiling: Most workers.
        events_per_worker: Waiting events that one worker is enough for.
        cooldown: Seconds for which fewer workers must have been enough before one is stopped.
    """

    floor: int
    ceiling: int
    events_per_worker: int
    cooldown: float

    def wanted(self, depth: int) -> int:
        """Return how many workers a queue of *depth* events wants."""
        return max(self.floor, min(self.ceiling, -(-depth // self.events_per_worker)))


@dataclass(frozen=True, slots=True)
class Observation:
    """What was seen at one moment.

    Args:
        at: Monotonic seconds.
        depth: Deliveries that wait or are in a worker's hand; None where nobody could tell.
        workers: Workers of this host that run.
    """

    at: float
    depth: int | None
    workers: int


@dataclass(frozen=True, slots=True)
class Decision:
    """How many workers there shall be, and why, in one word for the log."""

    workers: int
    reason: str


def decide(bounds: Bounds, seen: Sequence[Observation]) -> Decision:
    """Return how many workers there shall be now.

    Args:
        bounds: The settings.
        seen: What was seen since the last change, the newest last; at least one.
    """
    newest = seen[-1]
    if not bounds.floor <= newest.workers <= bounds.ceiling:
        return Decision(max(bounds.floor, min(bounds.ceiling, newest.workers)), "bounds")
    if newest.depth is None:
        # Unknown is not empty: nobody is stopped for it.
        return Decision(newest.workers, "depth_unknown")
    if (wanted := bounds.wanted(newest.depth)) > newest.workers:
        return Decision(wanted, "deep")
    if _is_calm(bounds, seen):
        return Decision(newest.workers - 1, "calm")
    return Decision(newest.workers, "enough")


def _is_calm(bounds: Bounds, seen: Sequence[Observation]) -> bool:
    """Tell whether fewer workers would have been enough at every moment of the cool-down."""
    newest = seen[-1]
    if newest.at - seen[0].at < bounds.cooldown:
        return False
    recent = [each for each in seen if newest.at - each.at <= bounds.cooldown]
    return all(each.depth is not None and bounds.wanted(each.depth) < newest.workers for each in recent)
