"""Turn a plan into the bodies to post, in order: the same plan gives the same bytes."""

import heapq
import math
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import count
from typing import Final

from simulator.traffic.conversations import guide_conversation, native_conversation
from simulator.traffic.event import (
    MAX_STEP_MS,
    SPOILERS,
    ConversationClock,
    Payload,
    Post,
    add_unknown_fields,
    compact,
    describe,
    is_identified,
)

MAX_DISORDER: Final = 50
"""Places by which a disordered event is delayed: milliseconds at a high rate, seconds at a low one."""
MAX_REDELIVERY: Final = 200
"""Places after which a duplicate comes at the latest, so that it often shares a batch with its original."""
MAX_START_MS: Final = 60_000
"""Conversations begin within this time."""
MARKED_REDELIVERIES: Final = 0.5
"""The share of duplicates with an additional unknown field, if an id identifies the event."""


class Dialect(StrEnum):
    """Which bodies to write."""

    GUIDE = "guide"
    GENESYS = "genesys"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class TrafficPlan:
    """What to send; shares are fractions of the events, 0 to 1.

    `events` counts distinct bodies, malformed ones included and redeliveries not. `seed` determines every
    random choice. `start`: the platform's aware time when the first conversation begins.
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


def longest_span(events: int, conversations: int) -> timedelta:
    """Return how long the conversations last at most, so that a plan can end at the present."""
    mean = events / conversations
    # Six standard deviations above the mean: the events choose their conversation at random.
    longest = mean + 6 * math.sqrt(mean) + 1
    return timedelta(milliseconds=MAX_START_MS + longest * MAX_STEP_MS)


def traffic(plan: TrafficPlan) -> Iterator[Post]:
    """Yield the posts in order; memory does not grow with their number."""
    # The seed must reproduce the run; nothing here is secret.
    rng = random.Random(plan.seed)  # noqa: S311
    return _in_order(_placed(plan, rng))


def _placed(plan: TrafficPlan, rng: random.Random) -> Iterator[tuple[int, Post]]:
    """Yield each post with its place: an original at its own or a later one, a duplicate after it."""
    conversations = [_conversation(plan, rng, index) for index in range(plan.conversations)]
    spoiled = guide_conversation(rng, _clock(plan, rng))
    for number in range(plan.events):
        if rng.random() < plan.malformed_share:
            payload, kind = next(spoiled), rng.choice(tuple(SPOILERS))
            yield number, Post(event=None, kind=f"malformed:{kind}", body=SPOILERS[kind](payload))
            continue
        payload = next(rng.choice(conversations))
        if rng.random() < plan.unknown_field_share:
            payload = add_unknown_fields(rng, payload)
        place = number + (rng.randint(1, MAX_DISORDER) if rng.random() < plan.disorder_share else 0)
        yield place, Post(number, describe(payload), compact(payload))
        if rng.random() < plan.duplicate_share:
            is_marked = rng.random() < MARKED_REDELIVERIES and is_identified(payload)
            # Different bytes, the same event.
            again = {**payload, "simulatedRedelivery": True} if is_marked else payload
            yield place + rng.randint(1, MAX_REDELIVERY), Post(number, describe(again), compact(again))


def _conversation(plan: TrafficPlan, rng: random.Random, index: int) -> Iterator[Payload]:
    # A generator of its own, so that a conversation does not depend on the other ones.
    own = random.Random(rng.getrandbits(64))  # noqa: S311
    is_native = plan.dialect is Dialect.GENESYS or (plan.dialect is Dialect.BOTH and index % 2 == 1)
    generate = native_conversation if is_native else guide_conversation
    return generate(own, _clock(plan, own))


def _clock(plan: TrafficPlan, rng: random.Random) -> ConversationClock:
    start = plan.start + timedelta(milliseconds=rng.randint(0, MAX_START_MS))
    return ConversationClock(rng, start, plan.collision_share)


def _in_order(placed: Iterable[tuple[int, Post]]) -> Iterator[Post]:
    """Sort by place with a bounded heap: originals arrive with rising places."""
    waiting: list[tuple[int, int, Post]] = []
    arrival = count()
    for place, post in placed:
        heapq.heappush(waiting, (place, next(arrival), post))
        # A later post cannot be placed before the newest place minus the largest displacement.
        while waiting[0][0] < place - MAX_DISORDER - MAX_REDELIVERY:
            yield heapq.heappop(waiting)[2]
    while waiting:
        yield heapq.heappop(waiting)[2]
