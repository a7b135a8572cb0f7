"""Measure how long good events waited while a fault struck bad ones: from their 200 to their effect.

The effect is the commit of the event's row by the database's own clock, or the destination's 2xx. The normal
time is that of the same load on the same stand, just before the strike. Each wait is measured by two clocks:
the machine's, and one that stands still while any part of the stand waits for a processor.
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
"""No statement updates a payload, so its row belongs to the transaction that processed the event."""

NORMAL_SECONDS: Final = 12.0
"""At half an event a second, the lowest rate of a form, these are six good events."""

Clock: TypeAlias = Callable[[float], float]
"""Returns the value of a clock at a moment of the machine's clock, in monotonic seconds."""

MODEST_RATE: Final = 30.0
"""Good and bad events a second. On two cores, the workers behind the outbox alone process five times as
many, so that good events wait for the fault and not for the machine."""

MIN_EVENTS: Final = 3
EVERY: Final = 10
"""One conversation in ten stays good in the faults that choose by conversation."""


def real_clock(moment: float) -> float:
    """Return the machine's own time."""
    return moment


def is_any(_number: int) -> bool:
    """Count every event."""
    return True


def is_no_update(number: int) -> bool:
    """Count all but updates. Updates are verified at the platform, so true and false ones end differently."""
    return not is_update(number)


def is_spared(number: int) -> bool:
    """Count only every tenth conversation; a conversation's numbers are 50 apart."""
    return number % EVERY == 0 and is_no_update(number)


def is_message(number: int) -> bool:
    """Count only messages, which the archive receives."""
    return is_no_update(number) and not opens(number)


@dataclass(frozen=True, slots=True)
class Good:
    """The events that a fault must not delay.

    Args:
        within: The most seconds that one may wait beyond the normal time.
        counts: Picks them by number.
        at: The destination whose 2xx counts; empty: the commit of the row.
        rate: Good and bad events a second, but no more than the fault's; 0: the fault's.
        share: Of the rate that the load sends; the strike sends the rest.
    """

    within: float
    counts: Callable[[int], bool] = is_any
    at: str = ""
    rate: float = 0.0
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class Watched:
    """The good events of one strike, with the time of their 200 in monotonic seconds."""

    name: str
    good: Good
    normal: tuple[float, float]
    struck: tuple[float, float]

    def waited(
        self, answered: Mapping[int, float], effects: Mapping[int, float], clock: Clock = real_clock
    ) -> float:
        """Return by how much the longest wait exceeds the normal one.

        Args:
            answered: When each event was answered 200.
            effects: When each took effect; an event without an effect still waits.
            clock: Converts a moment of the machine's clock to the clock that counts.

        Raises:
            AssertionError: Too few good events were answered to compare.
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
    """How long a good event waited beyond its normal time, in seconds of both clocks."""

    real: float
    own: float


def longest_waits(scene: Scene, watched: Sequence[Watched], own: Clock) -> list[Waited]:
    """Return the longest wait of each watched strike."""
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
    """Return when each body took effect, by its digest, in monotonic seconds."""
    if destination:
        assert stand.behind is not None
        return stand.behind.inbox.moments(destination)
    offset = time.time() - time.monotonic()
    engine = stand.engine()
    with engine.connect() as connection:
        rows = connection.execute(COMMITTED, {"run": f"{run}-%"}).all()
    engine.dispose()
    return {bytes(digest): float(epoch) - offset for digest, epoch in rows}
