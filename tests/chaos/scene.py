"""Define faults and their forms, and the scene that a strike uses."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import requests

from tests.chaos.bounds import CATCHES_UP, HEALS, UNFELT, UNFELT_STALL
from tests.chaos.broker_view import EVENTS
from tests.stand.records import TIMEOUT
from tests.stand.traffic import PATH, signed
from tests.waiting import wait_until

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from tests.chaos.own_clock import OwnClock
    from tests.chaos.stand import Stand
    from tests.chaos.waits import Good, Waited, Watched
    from tests.stand.ledger import Ledger
    from tests.stand.load import Load
    from tests.stand.traffic import Traffic

CALM = 0.1
EXTRA_FROM = 100_000_000
"""Events that are posted in addition to the load have numbers from here on."""


@dataclass(slots=True)
class Scene:
    """The running service under load.

    Args:
        stand: Every part of it.
        load: The running sender.
        traffic: The events of the load.
        ledger: Records the events that are posted beside the load.
        chance: Seeded; every random choice of a strike comes from it.
        clock: Excludes the machine's share of a latency.
        proofs: The proof of each strike so far.
        watched: The strikes that must not delay good events.
        struck: When the last strike was in effect, in monotonic seconds.
        waits: How long a good event of each watched strike waited beyond the normal time.
        way_clock: Excludes the machine's share of these waits; None until a strike is watched.
    """

    stand: Stand
    load: Load
    traffic: Traffic
    ledger: Ledger
    chance: random.Random
    clock: OwnClock
    proofs: list[str] = field(default_factory=list)
    watched: list[Watched] = field(default_factory=list)
    struck: tuple[float, float] = (0.0, 0.0)
    waits: list[Waited] = field(default_factory=list)
    way_clock: OwnClock | None = None
    _extra: Iterator[int] = field(default_factory=lambda: itertools.count(EXTRA_FROM))

    def close(self) -> None:
        """End the load and the clocks."""
        self.load.kill()
        self.clock.close()
        if self.way_clock is not None:
            self.way_clock.close()

    def wait(self, least: float, most: float) -> None:
        """Let a random time pass, in seconds."""
        time.sleep(self.chance.uniform(least, most))

    def prove(self, words: str, *, has_struck: bool = True) -> None:
        """Record how it is known that the strike struck.

        Raises:
            AssertionError: The strike had no effect.
        """
        assert has_struck, f"it did not strike: {words}"
        self.proofs.append(words)

    def await_proof(self, words: str, is_seen: Callable[[], object]) -> None:
        """Wait for the proof that the strike struck."""
        self.wait_until(is_seen, f"it strikes: {words}")
        self.prove(words)

    def wait_until(self, is_true: Callable[[], object], words: str) -> None:
        """Wait for something that must happen eventually, within the stand's patience."""
        wait_until(is_true, self.stand.pace * self.stand.patience, words)

    def let_catch_up(self, fewer: float) -> None:
        """Send a tenth of the rate until only so many deliveries are left.

        Half of the capacity of an idle stand may be more than its present capacity.
        """
        view, usual = self.stand.view, self.load.rate
        self.load.change_rate(usual * CALM)
        limit = self.stand.pace * CATCHES_UP
        wait_until(lambda: 0 <= view.depth(EVENTS) < fewer, limit, "the workers catch up")
        self.load.change_rate(usual)

    def extra_bodies(self, count: int) -> list[bytes]:
        """Return *count* events that the load will never send."""
        return [self.traffic.body(number) for number in itertools.islice(self._extra, count)]

    def doomed_bodies(self, count: int) -> list[bytes]:
        """Return *count* bodies for the dead letters, recorded as such in the ledger."""
        bodies = [self.traffic.malformed(number) for number in itertools.islice(self._extra, count)]
        for body in bodies:
            self.ledger.expect_dead_letter(body)
        return bodies

    def post(self, body: bytes) -> int:
        """Post one body beside the load, and return the status."""
        head = signed(body).split(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
        headers = dict(line.split(": ", 1) for line in head)
        url = f"http://127.0.0.1:{self.stand.product.port}{PATH}"
        status = requests.post(url, data=body, headers=headers, timeout=10).status_code
        if status == 200:
            self.ledger.note_answered([body])
        return status

    def post_all(self, bodies: list[bytes]) -> None:
        """Post bodies beside the load; each must be answered 200."""
        statuses = {self.post(body) for body in bodies}
        assert statuses == {200}, f"not every request was answered 200: {statuses}"


Strike: TypeAlias = Callable[[Scene], AbstractContextManager[None]]
"""Breaks something, yields and repairs it. At some point it proves that the strike had an effect."""

ALL_ANSWERED = frozenset({200})
ANSWERED_AT_LAST = ALL_ANSWERED | {TIMEOUT}
"""Permitted while the edge restarts: at half of its capacity beside two other stands, this may take longer
than the senders' ten seconds, and a try that timed out is repeated."""

ANYTHING: frozenset[int] | None = None


def nothing(_stand: Stand) -> AbstractContextManager[None]:
    """Arrange nothing."""
    return nullcontext()


@dataclass(frozen=True, slots=True)
class Form:
    """One form of a fault.

    Args:
        strike: The function that strikes.
        lasts: Least and most seconds between breaking and mending.
        allowed: The statuses that may come meanwhile; failures are statuses below zero. None: any.
        heals: Within how many seconds all is well again; no promise, but a limit to waiting.
        stall: As the fault's, where less is allowed than its other forms take; 0: the fault's.
        p99: The same of the 99th percentile, held for each strike; 0: the fault's, of all its forms together.
        good: The events that it must not delay, if it is a failure that costs its own events something.
    """

    strike: Strike
    lasts: tuple[float, float] = (1.0, 3.0)
    allowed: frozenset[int] | None = ALL_ANSWERED
    heals: float = HEALS
    stall: float = 0.0
    p99: float = 0.0
    good: Good | None = None

    @property
    def name(self) -> str:
        """Return what happens, in words."""
        return getattr(self.strike, "__name__", "strike").replace("_", " ")


@dataclass(frozen=True, slots=True)
class Fault:
    """One row of the table in docs/faults.md.

    Args:
        number: The fault's number in docs/faults.md.
        title: What happens, in a few words.
        forms: Each strikes in every round.
        rounds: How often each form strikes; 0 for the value of `times`.
        stall: The longest that a request may take, or that none is answered 200, in seconds of the own clock.
        p99: What 99 of 100 tries stay below, from when they were due, in the same. If no process answers for
            a while, as during a restart, that while decides it, and it is as long as the stall.
        gives_up: Whether senders may be refused for longer than the platform tries again; nothing is given
            up elsewhere.
        rate: Events a second, if strikes send at other rates; 0: by the stand's capacity.
        arrange: Prepares the stand before the load, and undoes the preparation afterwards.
        stands: The kinds of stand that the fault strikes, from tests/chaos/stands.py.
    """

    number: int
    title: str
    forms: tuple[Form, ...]
    rounds: int = 0
    stall: float = UNFELT_STALL
    p99: float = UNFELT
    gives_up: bool = False
    rate: float = 0.0
    arrange: Callable[[Stand], AbstractContextManager[None]] = nothing
    stands: tuple[str, ...] = ("postgresql",)

    @property
    def times(self) -> int:
        """Return how often each form strikes: once, and a single one twice."""
        return self.rounds or (1 if len(self.forms) > 1 else 2)
