"""Turn a plan into the bodies to post, in order. The same plan always gives the same bytes."""

import heapq
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
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
)

MAX_DISORDER: Final = 50
"""The maximum number of places that an event moves back: milliseconds or, at a low rate, seconds of delay."""
MAX_REDELIVERY: Final = 200
"""The maximum number of places between an original and its duplicate; one batch often contains both."""
MAX_START_MS: Final = 60_000
"""All conversations begin within this time after the plan's start."""
MARKED_REDELIVERIES: Final = 0.5
"""The share of duplicates that get an additional unknown field, provided that an id identifies the event."""


class Dialect(StrEnum):
    """The dialect of the bodies to generate."""

    GUIDE = "guide"
    GENESYS = "genesys"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class TrafficPlan:
    """The traffic to send. Shares are fractions of the events, from 0 to 1."""

    events: int  # distinct bodies, including malformed ones but not redeliveries
    conversations: int
    seed: int  # determines every random choice
    start: datetime  # the platform's aware time when the first conversation begins
    dialect: Dialect = Dialect.GUIDE
    duplicate_share: float = 0.0
    disorder_share: float = 0.0
    collision_share: float = 0.0
    malformed_share: float = 0.0
    unknown_field_share: float = 0.0


def longest_span(events: int, conversations: int) -> timedelta:
    """Return the maximum time that all conversations together take, so that a plan can end now."""
    mean = events / conversations
    # Each event picks a random conversation; allow for six standard deviations above the mean length.
    longest = mean + 6 * math.sqrt(mean) + 1
    return timedelta(milliseconds=MAX_START_MS + longest * MAX_STEP_MS)


def traffic(plan: TrafficPlan) -> Iterator[Post]:
    """Yield the posts in order. The memory used does not grow with their number."""
    # Use a seeded generator, because the seed must reproduce a run. Nothing here is secret.
    rng = random.Random(plan.seed)  # noqa: S311
    # The heap orders posts by place and, within a place, by arrival.
    waiting: list[tuple[int, int, Post]] = []
    for arrival, (place, post) in enumerate(_placed(plan, rng)):
        heapq.heappush(waiting, (place, arrival, post))
        # Event numbers rise, and a post's place exceeds its event's number by at most the sum of both maxima.
        while waiting[0][0] < place - MAX_DISORDER - MAX_REDELIVERY:
            yield heapq.heappop(waiting)[2]
    while waiting:
        yield heapq.heappop(waiting)[2]


def _placed(plan: TrafficPlan, rng: random.Random) -> Iterator[tuple[int, Post]]:
    """Yield each post with its place: its event's number plus any disorder; a duplicate comes later still."""
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
            is_identified = {"id", "sequence"} & {*payload, *payload.get("message", {})}
            is_marked = rng.random() < MARKED_REDELIVERIES and is_identified
            # With the additional field, the duplicate has different bytes but is the same event.
            again = {**payload, "simulatedRedelivery": True} if is_marked else payload
            yield place + rng.randint(1, MAX_REDELIVERY), Post(number, describe(again), compact(again))


def _conversation(plan: TrafficPlan, rng: random.Random, index: int) -> Iterator[Payload]:
    # Give each conversation its own generator, so that its content does not depend on other conversations.
    own = random.Random(rng.getrandbits(64))  # noqa: S311
    is_native = plan.dialect is Dialect.GENESYS or (plan.dialect is Dialect.BOTH and index % 2 == 1)
    generate = native_conversation if is_native else guide_conversation
    return generate(own, _clock(plan, own))


def _clock(plan: TrafficPlan, rng: random.Random) -> ConversationClock:
    start = plan.start + timedelta(milliseconds=rng.randint(0, MAX_START_MS))
    return ConversationClock(rng, start, plan.collision_share)
