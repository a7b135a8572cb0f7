"""Draw events of a run, and compare the report of `omctl find` on each with its real outcome."""

from __future__ import annotations

import random
from functools import partial
from typing import TYPE_CHECKING, Final

from workers.db.engine import transact
from workers.db.timeline_search import find_timelines

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from sqlalchemy import Engine

    from workers.db.timeline import Timeline

DRAWN: Final = 30
"""Events drawn for each fault: a thousand in a whole run."""

EFFECT: Final = {"processed", "recorded without effect"}
"""The two reports on a routing update that the platform has superseded."""


def count_found(
    engine: Engine,
    seed: str,
    stored: AbstractSet[bytes],
    dead: AbstractSet[bytes],
    *,
    at_end: AbstractSet[bytes],
) -> tuple[int, str]:
    """Return how many drawn events `find` reports correctly, and the first that it does not.

    Args:
        engine: Of the database with the run.
        seed: Decides which events are drawn.
        stored: Digests of the events that took effect.
        dead: Digests of those that were dead-lettered instead.
        at_end: Digests of those with no work left.
    """
    everything = sorted(stored | dead)
    drawn = random.Random(seed).sample(everything, min(DRAWN, len(everything)))
    found, complaint = 0, ""
    for digest in drawn:
        timelines = transact(engine, partial(find_timelines, identifier=digest.hex()))
        if _is_right(timelines, digest, is_stored=digest in stored, is_at_end=digest in at_end):
            found += 1
        else:
            told = [(timeline.stopped, [step.step for step in timeline.steps]) for timeline in timelines]
            complaint = complaint or f"find is wrong about the body {digest.hex()}: {told}"
    return found, complaint


def _is_right(timelines: list[Timeline], digest: bytes, *, is_stored: bool, is_at_end: bool) -> bool:
    """Return whether exactly this event is reported, with its beginning and its end."""
    events = [timeline for timeline in timelines if timeline.event_id is not None]
    dead = [timeline for timeline in timelines if timeline.event_id is None]
    steps = [[step.step for step in timeline.steps] for timeline in timelines]
    # Not always first: the edge's host may have another time than the database.
    is_whole = all("received" in names for names in steps)
    is_it = all(timeline.body_sha256 == digest.hex() for timeline in timelines)
    if is_stored:
        is_right = len(events) == 1 and not EFFECT.isdisjoint(steps[timelines.index(events[0])])
        is_right &= not is_at_end or events[0].stopped is None
    else:
        is_right = not events and len(dead) == 1 and "dead-lettered" in steps[0]
        is_right &= "dead-letter queue" in (dead[0].stopped or "") if dead else False
    return is_right and is_it and is_whole
