"""Publish events to the broker while it is safe to do so, and prove that the broker has them.

The link is open while the connection is up, the broker reads from it and, on a cluster, a recent report shows
that the events queue has a majority. Without a majority, RabbitMQ can silently drop events. So the link
closes the connection in that case, and all unproven events are published again on a new connection.
"""

from collections.abc import Callable, Iterable
from typing import Final

from messaging.broker import BrokerState, Publisher
from messaging.clock import Clock
from webhook_api.backpressure import LoadShedder, QueueReport
from webhook_api.journal import Segment
from webhook_api.relay.majority import MajorityWatch
from webhook_api.relay.proof import DeliveryProof

STALL_SECONDS: Final = 120.0
"""Time limit for the proof of the oldest segment, which normally takes seconds. RabbitMQ can lose a publish
without sending a negative confirm; all later segments would then wait behind that publish's segment."""


class BrokerLink:
    """Publishes to the broker, and proves segments. `size_limit` is the largest body it may publish."""

    def __init__(
        self,
        publisher: Publisher,
        proof: DeliveryProof,
        watch: MajorityWatch,
        shedder: LoadShedder,
        clock: Clock,
    ) -> None:
        self._publisher = publisher
        self._proof = proof
        self._watch = watch
        self._shedder = shedder
        self._clock = clock
        # The oldest unproven segment, and the monotonic time at which it became the oldest.
        self._oldest: Segment | None = None
        self._oldest_since = 0.0
        self._probe_sent_at: float | None = None
        self._probe_number = 0
        self.size_limit = publisher.size_limit

    def start(
        self,
        on_change: Callable[[bool], None],
        on_interrupted: Callable[[list[Segment]], None],
        on_answer: Callable[[list[Segment], int], None],
    ) -> None:
        """Connect to the broker, and reconnect whenever the connection is lost.

        *on_change* receives True if events can be published now, otherwise False. If the connection was lost,
        *on_interrupted* then receives the segments to publish again, oldest first. When a probe is answered,
        *on_answer* receives the proven segments and the number of backlog events that may be published.
        """
        self._on_change, self._on_interrupted, self._on_answer = on_change, on_interrupted, on_answer
        self._publisher.start(self._on_broker_change)

    @property
    def is_open(self) -> bool:
        """Whether events may be published now."""
        return self._publisher.state is BrokerState.UP and self._watch.is_present(self._clock.monotonic())

    @property
    def buffered_bytes(self) -> int:
        """Number of published bytes that the kernel has not accepted yet."""
        return self._publisher.buffered_bytes

    @property
    def unproven(self) -> list[Segment]:
        """The segments that were published but are not proven yet, oldest first."""
        return self._proof.segments

    @property
    def state(self) -> str:
        """The link's state for health reports: away, blocked, no_majority or up."""
        is_cut_off = self._publisher.state is BrokerState.UP and not self.is_open
        return "no_majority" if is_cut_off else self._publisher.state

    @property
    def majority_age(self) -> float | None:
        """Seconds since a report showed a majority; None if no majority is needed or none was reported."""
        return self._watch.seen_age(self._clock.monotonic())

    def publish(self, events: Iterable[tuple[bytes, bytes]]) -> None:
        """Add events, as properties and body, to the next `flush`. The link must be open."""
        self._publisher.publish(events)

    def flush(self) -> None:
        """Send the events published since the last flush, and count them for admission."""
        self._shedder.count_published(self._publisher.flush())

    def prove(self, segment: Segment) -> None:
        """Start proving a segment whose events have all been published."""
        self._proof.add(segment, self._publisher.last_tag)

    def tick(self) -> None:
        """Send the next probe, or abort a connection that does not answer; call this twice a second."""
        self._demand_majority()
        if not self.is_open:
            return
        now = self._clock.monotonic()
        oldest = next(iter(self._proof.segments), None)
        if oldest is not self._oldest:
            self._oldest, self._oldest_since = oldest, now
        if oldest is not None and now - self._oldest_since > STALL_SECONDS:
            self._publisher.abort("the oldest segment was not proven in time")
        elif self._probe_sent_at is None:
            self._send_probe(now)
        elif now - self._probe_sent_at > self._watch.probe_patience:
            self._publisher.abort("no answer to a probe")

    def on_report(self, report: QueueReport) -> None:
        """Evaluate a report about the queue's members; act on a lost majority at once.

        If this process was suspended, act on the missing reports first: a new one does not make up for them.
        """
        self._demand_majority()
        self._watch.on_report(report)
        self._demand_majority()

    def stop(self, then: Callable[[], None]) -> None:
        """Close the connection and call *then*; if the broker is up, first wait for a last probe's answer."""

        def finish() -> None:
            self._publisher.stop()
            then()

        if self._publisher.state is BrokerState.UP:
            self.flush()
            self._publisher.probe(lambda _count: finish())
        else:
            finish()

    def _on_broker_change(self, before: BrokerState) -> None:
        state = self._publisher.state
        now = self._clock.monotonic()
        if BrokerState.AWAY in {before, state}:
            self._interrupt()
            if state is BrokerState.UP:
                self._watch.on_connected(now, self._publisher.node)
        elif state is BrokerState.UP:
            # The broker reads again. It might answer a pending probe only now, so restart the time limits.
            self._oldest = None
            if self._probe_sent_at is not None:
                self._probe_sent_at = now
        if self.is_open or state is BrokerState.BLOCKED:
            self._on_change(self.is_open)

    def _interrupt(self) -> None:
        """Pass the segments of the lost connection on, so that they are published again."""
        self._probe_sent_at = None
        self._probe_number += 1
        self.size_limit = self._publisher.size_limit
        # Call *on_change* first: it closes the active segment, which then becomes an unproven segment.
        self._on_change(False)
        self._on_interrupted(self._proof.interrupt())

    def _demand_majority(self) -> None:
        """If no majority is reported, abort a connection that has sent events or has waited too long."""
        now = self._clock.monotonic()
        is_present = self._watch.is_present(now)
        if self._publisher.state is BrokerState.AWAY or is_present:
            return
        if self._publisher.last_tag > 0 or self._watch.is_overdue(now):
            self._publisher.abort("no majority of the queue's members was seen")
        else:
            self._on_change(False)

    def _send_probe(self, now: float) -> None:
        self.flush()
        self._probe_sent_at = now
        self._probe_number = number = self._probe_number + 1
        self._proof.on_probe_sent(now)
        self._shedder.on_probe_sent()

        def on_answered(ready_count: int) -> None:
            if number == self._probe_number:
                self._probe_sent_at = None
                now = self._clock.monotonic()
                proven = self._proof.on_probe_answered(now, self._watch.seen_until(now))
                self._on_answer(proven, self._shedder.on_probe_answered(ready_count))

        self._publisher.probe(on_answered)
