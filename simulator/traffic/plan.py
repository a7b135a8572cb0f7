"""Turn a plan into the bodies to post, in order: the same plan gives the same bytes."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import count
from typing import TYPE_CHECKING

from simulator.traffic.drift import is_identified, with_redelivery_note, with_unknown_fields
from simulator.traffic.event import Payload, Post, compact
from simulator.traffic.guide_conversation import guide_conversation
from simulator.traffic.malformed import SPOILERS
from simulator.traffic.native_conversation import native_conversation
from simulator.traffic.pace import Pace

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from simulator.traffic.event import Happening

LATE_BY_AT_MOST = 50
"""Places by which a disordered event slips: some milliseconds at a high rate, seconds at a low one."""
REDELIVERED_WITHIN = 200
"""Places after which a duplicate comes at the latest, so that it often shares a batch with its original."""
NOTED_REDELIVERIES = 0.5
"""The share of the duplicates that carry an unknown field more, where an id tells what they are."""


class Dialect(StrEnum):
    """Which bodies to write."""

    GUIDE = "guide"
    GENESYS = "genesys"
    BOTH = "both"


CONVERSATIONS = {
    Dialect.GUIDE: (guide_conversation,),
    Dialect.GENESYS: (native_conversation,),
    Dialect.BOTH: (guide_conversation, native_conversation),
}


@dataclass(frozen=True, slots=True)
class TrafficPlan:
    """What to send; shares are fractions of the events, 0 to 1.

    Args:
        events: Distinct bodies, malformed ones included, redeliveries not.
        conversations: How many conversations the events are spread over.
        seed: Decides everything that is left to chance.
        start: The platform's time when the first conversation begins, aware.
    """

    events: int
    conversations: int
    seed: int
    start: datetime
    dialect: Dialect = Dialect.GUIDE
    duplicate_share: float = 0.0
    disorder_share: float = 0.0
    collision_share: float = 0.0
    malformed_share: float = 0.0
    unknown_field_share: float = 0.0


def traffic(plan: TrafficPlan) -> Iterator[Post]:
    """Yield what *plan* says, in the order of posting; memory does not grow with its length."""
    # A seed has to reproduce the run; nothing here is secret.
    rng = random.Random(plan.seed)  # noqa: S311
    return _in_order(_placed(plan, rng))


def _placed(plan: TrafficPlan, rng: random.Random) -> Iterator[tuple[int, Post]]:
    """Yield each post with its place: an original at its own or a little later, a duplicate after it."""
    talkers = [_talker(plan, rng, index) for index in range(plan.conversations)]
    victim = guide_conversation(rng, _pace(plan, rng))
    for number in range(plan.events):
        if rng.random() < plan.malformed_share:
            yield number, _malformed(rng, next(victim).payload)
            continue
        happening = next(rng.choice(talkers))
        payload = happening.payload
        if rng.random() < plan.unknown_field_share:
            payload = with_unknown_fields(rng, payload)
        place = number + (rng.randint(1, LATE_BY_AT_MOST) if rng.random() < plan.disorder_share else 0)
        yield place, Post(event=number, kind=happening.kind, body=compact(payload))
        if rng.random() < plan.duplicate_share:
            is_noted = rng.random() < NOTED_REDELIVERIES and is_identified(payload)
            again = with_redelivery_note(payload) if is_noted else payload
            yield (
                place + rng.randint(1, REDELIVERED_WITHIN),
                Post(event=number, kind=happening.kind, body=compact(again)),
            )


def _talker(plan: TrafficPlan, rng: random.Random, index: int) -> Iterator[Happening]:
    tellers = CONVERSATIONS[plan.dialect]
    # Its own source of chance, so that a conversation does not change with the company it is in.
    own = random.Random(rng.getrandbits(64))  # noqa: S311
    return tellers[index % len(tellers)](own, _pace(plan, own))


def _pace(plan: TrafficPlan, rng: random.Random) -> Pace:
    start = plan.start + timedelta(milliseconds=rng.randint(0, 60_000))
    return Pace(rng, start, plan.collision_share)


def _malformed(rng: random.Random, payload: Payload) -> Post:
    kind = rng.choice(tuple(SPOILERS))
    return Post(event=None, kind=f"malformed:{kind}", body=SPOILERS[kind](payload))


def _in_order(placed: Iterable[tuple[int, Post]]) -> Iterator[Post]:
    """Yield posts by place; originals arrive with rising places, what is held back waits in a heap."""
    held: list[tuple[int, int, Post]] = []
    arrival = count()
    for place, post in placed:
        heapq.heappush(held, (place, next(arrival), post))
        # Nothing that comes later can be placed before the newest place minus the largest displacement.
        while held[0][0] < place - LATE_BY_AT_MOST - REDELIVERED_WITHIN:
            yield heapq.heappop(held)[2]
    while held:
        yield heapq.heappop(held)[2]
