"""Measure how long good events wait between their 200 and their effect while a fault affects other events.

The effect is the commit of the event's row, on the database's own clock, or the destination's 2xx. The normal
wait is that of the same load on the same stand just before the strike. Each wait is measured on two clocks:
the machine's clock, and an OwnClock, which stands still while any process of the stand waits for a processor.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from sqlalchemy import text

from tests.stand.ledger import digest_of
from tests.stand.traffic import is_update, opens

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.chaos.scene import Scene
    from tests.chaos.stand import Stand

COMMITTED: Final = text("""
    SELECT event.body_sha256, extract(epoch FROM pg_xact_commit_timestamp(payload.xmin))
    FROM processed_events AS event JOIN event_payloads AS payload ON payload.event_id = event.id
    WHERE event.conversation_id LIKE :run
""")
"""Selects when each payload was committed. This is the time of the effect: payloads are never updated."""

NORMAL_SECONDS: Final = 12.0
"""How long the load runs before a strike, in seconds. Even at the lowest rate of any form (half a good event
per second), six good events arrive in this time."""

Clock: TypeAlias = Callable[[float], float]
"""Converts a time on the machine's monotonic clock to a time on another clock, in seconds."""

MODEST_RATE: Final = 30.0
"""The number of good and bad events per second. The workers behind the outbox can process five times this
rate on two cores, so a good event that waits does so because of the fault, not because of a slow machine."""

MIN_EVENTS: Final = 3
EVERY: Final = 10
"""If a fault chooses its events by their conversation, every tenth conversation stays good."""


def real_clock(moment: float) -> float:
    """Return *moment* unchanged, as a time on the machine's own clock."""
    return moment


def is_any(_number: int) -> bool:
    """Return True: every event is a good event."""
    return True


def is_no_update(number: int) -> bool:
    """Return whether the event is not an update. The platform confirms only some of the updates."""
    return not is_update(number)


def is_spared(number: int) -> bool:
    """Return whether the event is not an update and belongs to one of the conversations that stay good."""
    return number % EVERY == 0 and is_no_update(number)


def is_message(number: int) -> bool:
    """Return whether the event is a message: the archive receives only messages."""
    return is_no_update(number) and not opens(number)


@dataclass(frozen=True, slots=True)
class Good:
    """The events that a fault must not delay.

    Args:
        within: The maximum number of seconds that a good event may wait beyond the normal time.
        counts: Returns whether the event with a given number is a good event.
        at: The destination whose 2xx is the effect; if it is empty, the commit of the row is the effect.
        rate: Good and bad events per second, at most the fault's rate; 0: the fault's rate.
        share: The share of `rate` that the load sends; the strike sends the rest.
    """

    within: float
    counts: Callable[[int], bool] = is_any
    at: str = ""
    rate: float = 0.0
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class Watched:
    """A strike during which good events are watched.

    Args:
        name: The name of the strike's form.
        good: The good events.
        normal: The start and end of the normal load before the strike, in monotonic seconds.
        struck: The start and end of the strike's effect, in monotonic seconds.
    """

    name: str
    good: Good
    normal: tuple[float, float]
    struck: tuple[float, float]

    def waited(
        self, answered: Mapping[int, float], effects: Mapping[int, float], clock: Clock = real_clock
    ) -> float:
        """Return by how much the longest wait during the strike exceeds the longest wait before it.

        Args:
            answered: The time when each event was answered with 200.
            effects: The time when each event took effect. An event without an effect is still waiting.
            clock: The clock on which the waits are measured.

        Raises:
            AssertionError: Too few good events were answered for a comparison.
        """
        waits = [self._waits(span, answered, effects, clock) for span in (self.normal, self.struck)]
        assert min(map(len, waits)) >= MIN_EVENTS, f"{self.name}: {list(map(len, waits))} good events"
        normal, struck = map(max, waits)
        return max(0.0, struck - normal)

    def _waits(
        self,
        span: tuple[float, float],
        answered: Mapping[int, float],
        effects: Mapping[int, float],
        clock: Clock,
    ) -> list[float]:
        begin, end = span
        now = time.monotonic()
        return [
            clock(effects.get(number, now)) - clock(moment)
            for number, moment in answered.items()
            if begin <= moment < end and self.good.counts(number)
        ]


@dataclass(frozen=True, slots=True)
class Waited:
    """How long a good event waited beyond the normal time, in seconds on both clocks."""

    real: float
    own: float


def longest_waits(scene: Scene, watched: Sequence[Watched], own: Clock) -> list[Waited]:
    """For each watched strike, return by how much a good event's longest wait exceeded the normal wait."""
    answered: dict[int, float] = {}
    for each in scene.load.seen().tries:
        if each.status == 200:
            answered.setdefault(each.number, each.ended)
    numbers = {digest_of(scene.traffic.body(number)): number for number in answered}
    found = []
    for strike in watched:
        moments = effects_of(scene.stand, scene.traffic.run, strike.good.at)
        effects = {numbers[digest]: at for digest, at in moments.items() if digest in numbers}
        real, without_load = (strike.waited(answered, effects, clock) for clock in (real_clock, own))
        found.append(Waited(real, without_load))
    return found


def effects_of(stand: Stand, run: str, destination: str) -> Mapping[bytes, float]:
    """Return the time when each body took effect, by the body's digest, in monotonic seconds."""
    if destination:
        assert stand.behind is not None
        return stand.behind.inbox.moments(destination)
    offset = time.time() - time.monotonic()
    engine = stand.engine()
    with engine.connect() as connection:
        rows = connection.execute(COMMITTED, {"run": f"{run}-%"}).all()
    engine.dispose()
    return {bytes(digest): float(epoch) - offset for digest, epoch in rows}
