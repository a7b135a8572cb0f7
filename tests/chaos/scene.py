"""Define faults and their forms, and the scene in which they strike."""

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
"""The lowest number given to an event that is posted in addition to the load."""


@dataclass(slots=True)
class Scene:
    """The running service under load, in which a fault strikes.

    Args:
        stand: The servers, the product's programs and the simulated services.
        load: The running sender.
        traffic: The events of the load.
        ledger: The record of the events that are posted in addition to the load.
        chance: The seeded generator for every random choice of a strike.
        clock: An OwnClock, which excludes the time in which the edge or the sender waited for a processor.
        proofs: The proof of each strike so far.
        watched: The strikes so far that must not delay good events.
        struck: The start and end of the last strike's effect, in monotonic seconds.
        waits: For each watched strike, by how much the longest wait of a good event exceeded the normal wait.
        way_clock: An OwnClock, which excludes the time in which any process on an event's path waited for a
            processor; None until a strike is watched.
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
        """End the load and stop the clocks."""
        self.load.kill()
        self.clock.close()
        if self.way_clock is not None:
            self.way_clock.close()

    def wait(self, least: float, most: float) -> None:
        """Sleep for a random number of seconds between *least* and *most*."""
        time.sleep(self.chance.uniform(least, most))

    def prove(self, words: str, *, has_struck: bool = True) -> None:
        """Record the proof that the strike had an effect.

        Raises:
            AssertionError: The strike had no effect.
        """
        assert has_struck, f"it did not strike: {words}"
        self.proofs.append(words)

    def await_proof(self, words: str, is_seen: Callable[[], object]) -> None:
        """Wait until *is_seen* proves that the strike had an effect, and record the proof."""
        self.wait_until(is_seen, f"it strikes: {words}")
        self.prove(words)

    def wait_until(self, is_true: Callable[[], object], words: str) -> None:
        """Wait for a condition, which must become true within the stand's time limit."""
        wait_until(is_true, self.stand.pace * self.stand.patience, words)

    def let_catch_up(self, fewer: float) -> None:
        """Send at a tenth of the usual rate until the queue has fewer than *fewer* deliveries.

        The usual rate is half of an idle stand's capacity, and can exceed what the stand can process now.
        """
        view, usual = self.stand.view, self.load.rate
        self.load.change_rate(usual * CALM)
        limit = self.stand.pace * CATCHES_UP
        wait_until(lambda: 0 <= view.depth(EVENTS) < fewer, limit, "the workers catch up")
        self.load.change_rate(usual)

    def extra_bodies(self, count: int) -> list[bytes]:
        """Return the bodies of *count* events that the load never sends."""
        return [self.traffic.body(number) for number in itertools.islice(self._extra, count)]

    def doomed_bodies(self, count: int) -> list[bytes]:
        """Return *count* malformed bodies, and record in the ledger that they must become dead letters."""
        bodies = [self.traffic.malformed(number) for number in itertools.islice(self._extra, count)]
        for body in bodies:
            self.ledger.expect_dead_letter(body)
        return bodies

    def post(self, body: bytes) -> int:
        """Post one body in addition to the load, and return the status of the response."""
        head = signed(body).split(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
        headers = dict(line.split(": ", 1) for line in head)
        url = f"http://127.0.0.1:{self.stand.product.port}{PATH}"
        status = requests.post(url, data=body, headers=headers, timeout=10).status_code
        if status == 200:
            self.ledger.note_answered([body])
        return status

    def post_all(self, bodies: list[bytes]) -> None:
        """Post bodies in addition to the load. Each must get a 200."""
        statuses = {self.post(body) for body in bodies}
        assert statuses == {200}, f"not every request was answered 200: {statuses}"


Strike: TypeAlias = Callable[[Scene], AbstractContextManager[None]]
"""Returns a context manager that breaks something on entry and repairs it on exit.

Before the context exits, it records a proof that the strike had an effect.
"""

ALL_ANSWERED = frozenset({200})
ANSWERED_AT_LAST = ALL_ANSWERED | {TIMEOUT}
"""The statuses that are permitted while the edge restarts.

On a stand at half of its capacity beside two other stands, a restart can take longer than the ten seconds
after which a sender gives up on a try. The sender then tries again.
"""

ANYTHING: frozenset[int] | None = None


def nothing(_stand: Stand) -> AbstractContextManager[None]:
    """Return an arrangement that changes nothing."""
    return nullcontext()


@dataclass(frozen=True, slots=True)
class Form:
    """One form of a fault.

    Args:
        strike: The function that carries out the strike.
        lasts: The minimum and maximum number of seconds from the breakage to the repair.
        allowed: The statuses that requests may get during the strike; failures have statuses below zero.
            None allows any status.
        heals: How many seconds to wait for the service to recover: a limit on waiting, not a promise.
        stall: The limit on the longest stall in this form if it is stricter than the fault's; 0: the fault's.
        p99: The limit on the 99th percentile in each strike of this form; 0: only the fault's limit, over all
            forms, applies.
        good: The good events, which the strike must not delay; None: no events are watched.
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
        """The name of the strike's function, as words."""
        return getattr(self.strike, "__name__", "strike").replace("_", " ")


@dataclass(frozen=True, slots=True)
class Fault:
    """One row of the table in docs/faults.md.

    Args:
        number: The fault's number in docs/faults.md.
        title: A short description of the fault.
        forms: The forms of the fault; each form strikes once in every round.
        rounds: How often each form strikes; 0: once, or twice if the fault has only one form.
        stall: The longest time that one request may take, or that may pass without a 200, in seconds on
            OwnClock.
        p99: The limit on the 99th percentile of latencies on OwnClock. A latency is measured from the time
            when its try was due. While no process answers, as during a restart, the percentile is as long as
            the stall.
        gives_up: Whether senders may be refused for longer than the platform retries, so that they give up on
            events. During other faults, they must not give up on any event.
        rate: The events per second that the load sends; 0: a rate derived from the stand's capacity.
        arrange: Prepares the stand before the load, and undoes the preparation afterwards.
        stands: The kinds of stand that the fault strikes, as `running_stand` in tests/chaos/stand.py names
            them.
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
        """How often each form strikes: by default once, or twice if the fault has only one form."""
        return self.rounds or (1 if len(self.forms) > 1 else 2)
