"""Publish events to the broker while that is safe, and prove that it has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from webhook_api.relay.prober import Prober
from webhook_api.relay.stagnation import Stagnation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from messaging.clock import Clock
    from messaging.publishing import Publisher
    from webhook_api.backpressure import Gate, QueueReport
    from webhook_api.journal import Segment
    from webhook_api.relay.majority_watch import MajorityWatch
    from webhook_api.relay.proof import Proof


class Keeper(Protocol):
    """Who keeps the events and must know what becomes of them."""

    @property
    def has_backlog(self) -> bool:
        """Whether events wait for room in the queue."""

    def on_open(self) -> None:
        """Called when events can be published."""

    def on_shut(self) -> None:
        """Called when no more events can be published for now; what is on its way stays so."""

    def on_interrupted(self, unproven: list[Segment]) -> None:
        """Called after `on_shut` with what was on its way and must be published again, oldest first."""

    def on_answer(self, proven: list[Segment], room: int) -> None:
        """Called when the broker has answered: what it surely has, and how many waiting events it may get."""


class Outlet:
    """The way to the broker: open, shut for now, or interrupted.

    It is open while the connection is up, the broker reads from it and, on a cluster, the events queue was
    seen to have a majority. Without one what was published may be lost in silence: the connection is given
    up, so that everything unproven is published again on a new one.

    Args:
        publisher: Not started yet.
        proof: Knows which of the published segments the broker has.
        watch: Knows whether the events queue has a majority.
        gate: Told what is published and what the broker counts.
        clock: Where time comes from.

    `size_limit` is the largest body that the broker takes, in bytes, as far as it has told.
    """

    def __init__(
        self, publisher: Publisher, proof: Proof, watch: MajorityWatch, gate: Gate, clock: Clock
    ) -> None:
        self._publisher = publisher
        self._proof = proof
        self._watch = watch
        self._gate = gate
        self._clock = clock
        self._prober = Prober(publisher, self._on_question, self._on_answer)
        self._stagnation = Stagnation()
        self._keeper: Keeper | None = None
        self.size_limit = publisher.size_limit

    def start(self, keeper: Keeper) -> None:
        """Connect to the broker, and again whenever the connection is lost."""
        self._keeper = keeper
        self._publisher.start(self)

    @property
    def is_open(self) -> bool:
        """Whether events may be published now."""
        return self._publisher.can_publish and self._watch.is_there(self._clock.monotonic())

    @property
    def is_reachable(self) -> bool:
        """Whether the broker is there and takes events, as far as it tells itself."""
        return self._publisher.can_publish

    @property
    def buffered_bytes(self) -> int:
        """Bytes published that the kernel has not taken yet."""
        return self._publisher.buffered_bytes

    @property
    def unproven(self) -> list[Segment]:
        """The segments that were published and are not proven yet, oldest first."""
        return self._proof.segments

    @property
    def state(self) -> str:
        """One word for health reports: away, blocked, no_majority or up."""
        if not self._publisher.ready:
            return "away"
        if self._publisher.blocked:
            return "blocked"
        return "up" if self._watch.is_there(self._clock.monotonic()) else "no_majority"

    @property
    def majority_age(self) -> float | None:
        """Seconds since a majority was seen; None where none is needed, or this connection saw none."""
        return self._watch.seen_age(self._clock.monotonic())

    def publish(self, events: Iterable[tuple[bytes, bytes]]) -> None:
        """Add events (properties, body) to what the next `flush` sends; call only while open."""
        self._publisher.publish(events)

    def flush(self) -> None:
        """Send what was published since the last flush, and count it."""
        self._gate.count_published(self._publisher.flush())

    def prove(self, segment: Segment) -> None:
        """Take a segment all of whose events have been published, until it is proven."""
        self._proof.add(segment, self._publisher.last_tag)

    def tick(self) -> None:
        """Look after the connection; call twice a second."""
        self._demand_majority()
        if not self.is_open:
            return
        now = self._clock.monotonic()
        if self._stagnation.has_lasted(self._proof.segments, now):
            self._publisher.abort("nothing more is proven")
        else:
            self._prober.probe(now, self._watch.patience)

    def told(self, report: QueueReport) -> None:
        """Take in what the management API told of the queue's members; act on a lost majority at once."""
        self._watch.told(report)
        self._demand_majority()

    def finish(self) -> None:
        """Close the connection and stay away; what is unproven stays with the keeper."""
        self._publisher.stop()

    def ask_once(self, then: Callable[[], None]) -> None:
        """Call *then* when the broker has answered a probe; never, if the connection is lost first."""
        self.flush()
        self._publisher.probe(lambda _count: then())

    # The publisher's listener.

    def on_broker_up(self) -> None:
        """Wait for a majority, or publish at once where none is needed.

        What an earlier connection carried is not on its way over this one, whether its end was told or not.
        """
        self._interrupt()
        self._watch.connected(self._clock.monotonic(), self._publisher.node)
        self._open()

    def on_broker_down(self) -> None:
        """Give everything unproven back."""
        self.size_limit = self._publisher.size_limit
        self._interrupt()

    def on_broker_blocked(self) -> None:
        """Publish nothing more; what is on its way stays so."""
        self._shut()

    def on_broker_unblocked(self) -> None:
        """Publish again over the same connection; what is on its way may now be answered."""
        self._prober.resume(self._clock.monotonic())
        self._stagnation.forget()
        self._open()

    def _open(self) -> None:
        if self.is_open and self._keeper is not None:
            self._keeper.on_open()

    def _shut(self) -> None:
        if self._keeper is not None:
            self._keeper.on_shut()

    def _interrupt(self) -> None:
        self._prober.forget()
        self._shut()
        assert self._keeper is not None
        self._keeper.on_interrupted(self._proof.interrupt())

    def _demand_majority(self) -> None:
        """Give up a connection that events were published on, or that waits in vain for a majority."""
        now = self._clock.monotonic()
        self._watch.tell_change(now)
        if not self._publisher.ready or self._watch.is_there(now):
            return
        if self._publisher.last_tag > 0 or self._watch.is_overdue(now):
            self._publisher.abort("no majority of the queue's members was seen")

    def _on_question(self) -> None:
        self.flush()
        self._proof.ask()
        self._gate.on_question()

    def _on_answer(self, ready_count: int) -> None:
        now = self._clock.monotonic()
        proven = self._proof.answer(now, self._watch.seen_until(now))
        assert self._keeper is not None
        room = self._gate.on_ready_count(ready_count, has_backlog=self._keeper.has_backlog)
        self._keeper.on_answer(proven, room)
