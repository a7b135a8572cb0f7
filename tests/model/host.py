"""Run two edge processes in one interpreter on a seeded schedule.

Journals, relays and proofs are the product's own, on a real directory. The schedule moves their clock and
their broker: it mixes requests, time, answers to probes, connections that break and come back, and kills.
"""

from __future__ import annotations

import heapq
import itertools
import random
from typing import TYPE_CHECKING, Any, Final

from messaging.broker import BrokerState
from messaging.envelope import WEBHOOK, encode_properties
from tests.fakes.clock import FakeClock
from tests.fakes.publisher import FakePublisher
from tests.model.edge_recording import record_edge
from tests.unit.webhook_api.journals import die, journal_in
from webhook_api.answers import Answers
from webhook_api.backpressure import DepthSample, LoadShedder, Watermarks
from webhook_api.relay import Barrier, BrokerLink, MajorityWatch, Oversized, Relay

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PROPERTIES: Final = encode_properties("message-1", 1, "request-1", WEBHOOK)
STEPS: Final = 80
SETTLE_STEPS: Final = 60


class FakeLoop:
    """The loop of one process, run by moving its clock."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self._calls: list[Any] = []
        self._order = itertools.count()

    def time(self) -> float:
        """Return the time."""
        return self._clock.seconds

    def call_later(self, seconds: float, call: Callable[..., None], *arguments: object) -> None:
        """Call when that time has passed."""
        heapq.heappush(self._calls, (self.time() + seconds, next(self._order), call, arguments))

    def call_soon(self, call: Callable[..., None], *arguments: object) -> None:
        """Call when the loop runs next."""
        self.call_later(0.0, call, *arguments)

    def run(self) -> None:
        """Make the calls that are due."""
        while self._calls and self._calls[0][0] <= self.time():
            _, _, call, arguments = heapq.heappop(self._calls)
            call(*arguments)


class Process:
    """One edge process."""

    def __init__(self, directory: Path, clock: FakeClock) -> None:
        self.loop = FakeLoop(clock)
        self.publisher = FakePublisher()
        self.journal = journal_in(directory / "journal")
        shedder = LoadShedder(Watermarks(1000, 500), retry_after_max=30, processes=2, clock=clock)
        shedder.on_sample(DepthSample(at=clock.monotonic(), depth=0))
        watch = MajorityWatch(directory, brokers=1, management_addresses=0, is_needed=False)
        link = BrokerLink(self.publisher, Barrier(), watch, shedder, clock)
        oversized, answers = Oversized(directory / "oversized"), Answers(clock)
        self.relay = Relay(self.loop, self.journal, link, oversized, clock, answers)
        self.trace: list[dict[str, Any]] = []

    def answer_probe(self) -> None:
        """Have the broker answer its oldest probe, and empty the queue."""
        if self.publisher.probes and self.publisher.state is BrokerState.UP:
            self.publisher.probes.pop(0)(0)

    def change(self, state: BrokerState) -> None:
        """Change the connection; probes on a lost one are never answered."""
        if state is BrokerState.AWAY:
            self.publisher.probes.clear()
        self.publisher.change(state)


class Host:
    """Two processes, and those that were killed.

    Args:
        directory: Of the host.
        seed: Of the schedule.
    """

    def __init__(self, directory: Path, seed: int) -> None:
        self._directory = directory
        self._random = random.Random(seed)
        self._clock = FakeClock()
        self._writing: list[dict[str, Any]] = []
        self.living: list[Process] = []
        self.dead: list[Process] = []
        self.answered: set[bytes] = set()

    def run(self) -> None:
        """Carry the schedule out, then let everything heal."""
        end = record_edge(self._record)
        try:
            for _ in range(2):
                self._start()
            for _ in range(STEPS):
                self._take_step(self._random.choice(self.living))
            for _ in range(SETTLE_STEPS):
                self._heal()
        finally:
            end()

    @property
    def traces(self) -> list[list[dict[str, Any]]]:
        """The trace of each process."""
        return [process.trace for process in (*self.living, *self.dead)]

    @property
    def journalled_bytes(self) -> int:
        """Bytes in all journals."""
        segments = self._directory.glob("journal/*/*.segment")
        return sum(segment.stat().st_size for segment in segments)

    @property
    def published(self) -> set[bytes]:
        """The bodies that were published."""
        return {body for process in (*self.living, *self.dead) for body in process.publisher.published}

    def _record(self, step: dict[str, Any]) -> None:
        self._writing.append(step)

    def _start(self) -> None:
        process = Process(self._directory, self._clock)
        self.living.append(process)
        self._as(process, process.relay.start)

    def _as(self, process: Process, step: Callable[..., None], *arguments: object) -> None:
        """Record a step in the trace of its process."""
        self._writing = process.trace
        step(*arguments)

    def _take_step(self, process: Process) -> None:
        kind = self._random.choices(
            (self._accept, self._pass_time, self._answer, self._change, self._kill), (30, 40, 20, 6, 2)
        )[0]
        self._as(process, kind, process)

    def _accept(self, process: Process) -> None:
        body = b"%d" % self._random.getrandbits(60)
        process.relay.accept(PROPERTIES, body)

        def respond(is_durable: bool) -> None:  # noqa: FBT001  # a callback's argument
            if is_durable:
                self.answered.add(body)

        process.relay.on_durable(respond)
        process.loop.run()

    def _pass_time(self, _process: Process) -> None:
        self._clock.seconds += self._random.choice((0.01, 0.1, 0.5, 1.0, 4.0))
        for process in self.living:
            self._as(process, process.loop.run)

    def _answer(self, process: Process) -> None:
        process.answer_probe()

    def _change(self, process: Process) -> None:
        states = [state for state in BrokerState if state is not process.publisher.state]
        process.change(self._random.choice(states))

    def _kill(self, process: Process) -> None:
        die(process.journal)
        self.living.remove(process)
        self.dead.append(process)
        self._start()

    def _heal(self) -> None:
        self._clock.seconds += 0.5
        for process in self.living:
            if process.publisher.state is not BrokerState.UP:
                self._as(process, process.change, BrokerState.UP)
            self._as(process, process.loop.run)
            self._as(process, process.answer_probe)
