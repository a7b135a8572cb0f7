"""Draw random events of a run, and compare what `omctl find` reports about each with its real outcome."""

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
"""The number of events drawn for each fault: about a thousand in a run of all faults."""

EFFECT: Final = {"processed", "recorded without effect"}
"""The report on a stored event must contain one of these steps. The second belongs to a superseded update."""


def count_found(
    engine: Engine,
    seed: str,
    stored: AbstractSet[bytes],
    dead: AbstractSet[bytes],
    *,
    at_end: AbstractSet[bytes],
) -> tuple[int, str]:
    """Return how many drawn events `find` reports correctly, and the first event that it reports wrongly.

    Args:
        engine: The engine of the database with the run's events.
        seed: The seed that decides which events are drawn.
        stored: Digests of the events that took effect.
        dead: Digests of the events that were dead-lettered instead.
        at_end: Digests of the events that need no further processing.
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
    """Return whether the report is about exactly this event, and has the event's beginning and end."""
    events = [timeline for timeline in timelines if timeline.event_id is not None]
    dead = [timeline for timeline in timelines if timeline.event_id is None]
    steps = [[step.step for step in timeline.steps] for timeline in timelines]
    # "received" is not always the first step, because the clocks of the edge and the database may differ.
    is_whole = all("received" in names for names in steps)
    is_it = all(timeline.body_sha256 == digest.hex() for timeline in timelines)
    if is_stored:
        is_right = len(events) == 1 and not EFFECT.isdisjoint(steps[timelines.index(events[0])])
        is_right &= not is_at_end or events[0].stopped is None
    else:
        is_right = not events and len(dead) == 1 and "dead-lettered" in steps[0]
        is_right &= "dead-letter queue" in (dead[0].stopped or "") if dead else False
    return is_right and is_it and is_whole
