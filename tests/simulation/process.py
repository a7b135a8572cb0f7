"""Run one edge process in the simulation: the product's own journal, relay, backpressure and publisher.

Only the process's event loop and its HTTP server are simulated.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from messaging.broker import BrokerState, Publisher
from messaging.clock import SystemClock
from webhook_api.answers import Answers
from webhook_api.backpressure import LoadShedder, Watermarks
from webhook_api.ingest import ACCEPTED, JOURNAL_FULL, Ingest
from webhook_api.journal import Journal
from webhook_api.relay import Barrier, BrokerLink, Confirms, MajorityWatch, Oversized, Relay
from webhook_api.relay.majority import FRESH_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulation.world import World
    from webhook_api.backpressure import QueueReport

TICK_SECONDS = 1.0


class Timer:
    """A scheduled call that can be cancelled."""

    __slots__ = ("is_cancelled",)

    def __init__(self) -> None:
        self.is_cancelled = False

    def cancel(self) -> None:
        """Cancel the call."""
        self.is_cancelled = True


class Loop:
    """The event loop of one process. Other processes and the broker run between the loop's callbacks."""

    def __init__(self, world: World, process: EdgeProcess) -> None:
        self.world = world
        self._process = process
        self._soon_at = 0.0

    def time(self) -> float:
        """Return the time on the monotonic clock, in seconds."""
        return self.world.now

    def call_later(self, seconds: float, call: Callable[..., None], *arguments: object) -> Timer:
        """Call a function once, after a delay in seconds."""
        timer = Timer()
        late = self.world.random.random() * 0.002
        self.world.schedule_call(self.world.now + seconds + late, call, arguments, self._process, timer)
        return timer

    def call_soon(self, call: Callable[..., None], *arguments: object) -> None:
        """Call a function after all calls that are already due."""
        late = self.world.random.random() * 0.0003
        self._soon_at = max(self._soon_at, self.world.now + late)
        self.world.schedule_call(self._soon_at, call, arguments, self._process)


class EdgeProcess:
    """One edge process. Create and use this object only while it is the running process of its world."""

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.number = number
        self.is_dead = self.is_stopping = False
        self.frozen_until = 0.0
        self.calls = 0
        self.began = world.now
        self._asked_at = world.now
        self.has_seen_loss = False
        self.kill_at_call = -1
        self.is_started = False
        self.loop: Any = Loop(world, self)

    def start(self) -> None:
        """Compose the process as webhook_api/app.py does."""
        world, clock, loop = self.world, SystemClock(), self.loop
        plan, state = world.setting, world.state
        marks = Watermarks(plan.high, plan.low)
        self.shedder = LoadShedder(marks, retry_after_max=30, processes=2, clock=clock)
        self.journal = Journal(state / "journal", plan.max_bytes, 2, fsync=plan.fsync, now_us=clock.now_us())
        confirms = Confirms() if plan.confirms else None
        on_confirm = confirms.confirm if confirms else None
        urls = ("amqp://broker",) * plan.nodes
        self.publisher = Publisher(loop, urls, client_name="edge", on_confirm=on_confirm)
        watch = MajorityWatch(state, brokers=plan.nodes, management_addresses=1, is_needed=confirms is None)
        self.link = BrokerLink(self.publisher, confirms or Barrier(), watch, self.shedder, clock)
        answers = Answers(clock)
        oversized = Oversized(state / "oversized")
        self.relay = Relay(loop, self.journal, self.link, oversized, clock, answers)
        settings: Any = SimpleNamespace(
            secrets=(), allow_unsigned=True, required_headers=(), events_headers=(), max_body_bytes=1 << 20
        )
        self.ingest = Ingest(settings, self.shedder, self.relay, clock, answers)
        self.relay.start()
        self._tick()
        self.is_started = True

    def _tick(self) -> None:
        self.loop.call_later(TICK_SECONDS, self._tick)
        self.shedder.on_blocked(is_blocked=self.relay.is_blocked)
        self.shedder.tick()

    def request(self, body: bytes) -> None:
        """Handle one webhook. Its response is sent at the end of the loop's turn."""
        response = self.ingest.accept({}, lambda: body)
        if response is ACCEPTED:
            self.relay.on_durable(lambda is_durable: self._respond(body, is_durable))
        else:
            self.world.promises.on_refused(self, response.status, is_full=response is JOURNAL_FULL)

    def _respond(self, body: bytes, is_durable: bool) -> None:  # noqa: FBT001  # a callback's argument
        if not self.is_dead:
            self.world.promises.on_response(self, body, is_durable)

    def take_report(self, report: QueueReport) -> None:
        """Handle the poller's report on the queue."""
        self._asked_at = report.asked_at
        assert report.members is not None
        self.has_seen_loss |= not report.members.has_majority
        self.link.on_report(report)
        if report.depth is not None:
            self.shedder.on_sample(report.depth)

    def stop(self) -> None:
        """Stop the process cleanly."""
        self.is_stopping = True
        self.relay.stop(lambda: self.world.kill(self, "ends"))

    @property
    def is_exposed(self) -> bool:
        """Whether unproven events still rely on a poll that preceded the loss of the majority."""
        is_used = (
            self.is_started and self.publisher.state is not BrokerState.AWAY and self.publisher.last_tag > 0
        )
        return is_used and not self.has_seen_loss and self.world.now - self._asked_at <= FRESH_SECONDS + 0.1

    @property
    def is_connected(self) -> bool:
        """Whether the process is connected to the broker and publishes events."""
        return self.is_started and self.publisher.state is BrokerState.UP and self.link.is_open
