"""Draw random events from a run, and compare what `omctl find` reports about each with its real outcome."""

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

EFFECTS: Final = {False: "processed", True: "recorded without effect"}
"""The report on a stored event must contain the first step, or the second if the event was skipped."""


def count_found(
    engine: Engine,
    seed: str,
    stored: AbstractSet[bytes],
    dead: AbstractSet[bytes],
    *,
    skipped: AbstractSet[bytes],
    at_end: AbstractSet[bytes],
) -> tuple[int, int, str]:
    """Return how many events were drawn, how many `find` reports correctly, and the first wrong report.

    Args:
        engine: The engine of the database with the run's events.
        seed: The seed that decides which events are drawn.
        stored: Digests of the events that have a row.
        dead: Digests of the events that were dead-lettered instead.
        skipped: Digests of the stored events that must have no effect.
        at_end: Digests of the events that need no further processing.
    """
    everything = sorted(stored | dead)
    drawn = random.Random(seed).sample(everything, min(DRAWN, len(everything)))
    found, complaint = 0, ""
    for digest in drawn:
        timelines = transact(engine, partial(find_timelines, identifier=digest.hex()))
        effect = EFFECTS[digest in skipped] if digest in stored else None
        if is_right(timelines, digest, effect=effect, is_at_end=digest in at_end):
            found += 1
        else:
            told = [(timeline.stopped, [step.step for step in timeline.steps]) for timeline in timelines]
            complaint = complaint or f"find is wrong about the body {digest.hex()}: {told}"
    return len(drawn), found, complaint


def is_right(timelines: list[Timeline], digest: bytes, *, effect: str | None, is_at_end: bool) -> bool:
    """Return whether the report is about exactly this event, and shows the event's beginning and end.

    *effect* is the one value of EFFECTS that the report must contain. It is None if the event must be a dead
    letter.
    """
    events = [timeline for timeline in timelines if timeline.event_id is not None]
    dead = [timeline for timeline in timelines if timeline.event_id is None]
    steps = [[step.step for step in timeline.steps] for timeline in timelines]
    # "received" is not always the first step, because the clocks of the edge and the database can differ.
    is_whole = all("received" in names for names in steps)
    is_it = all(timeline.body_sha256 == digest.hex() for timeline in timelines)
    if effect is not None:
        shown = {step for names in steps for step in names if step in EFFECTS.values()}
        is_good = len(events) == 1 and shown == {effect}
        is_good = is_good and (not is_at_end or events[0].stopped is None)
    else:
        is_good = not events and len(dead) == 1 and "dead-lettered" in steps[0]
        is_good &= "dead-letter queue" in (dead[0].stopped or "") if dead else False
    return is_good and is_it and is_whole
