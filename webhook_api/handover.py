"""Hand accepted events over to the broker: live while it takes them, out of the journal when it did not.

An event is always in the journal first. It is in exactly one of these states, and moves only downwards
but for an interruption, which puts everything unproven back to the top:

* waiting: in a closed segment of `_waiting`, or in the active one while not `_live`
* published: in the active segment while `_live`, or in a segment of the barrier
* proven: its segment is unlinked

Publishing an event twice costs nothing, the unique index drops it; so whenever it is not sure, it is sent
again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from messaging.log import logger
from webhook_api.barrier import Barrier
from webhook_api.journal import SEGMENT_BYTES
from webhook_api.waiting import WaitingSegments

if TYPE_CHECKING:
    from collections.abc import Callable

    from messaging.clock import Clock
    from messaging.loop import Loop
    from messaging.publisher import Publisher
    from webhook_api.journal import Adopted, Journal, Segment

PROBE_SECONDS: Final = 0.5
"""Between probes: short enough that little is published twice after an interruption."""

ADOPT_SECONDS: Final = 5.0

BUFFER_HIGH_BYTES: Final = 8 * 1024 * 1024
"""Unsent bytes at which publishing stops, events go to the journal only: the broker does not keep up."""

BUFFER_LOW_BYTES: Final = 1024 * 1024
"""Unsent bytes at which publishing goes on."""

SLICE_EVENTS: Final = 100
"""Events republished in one turn of the loop: a millisecond's work, so that requests come through."""


PACE_SECONDS: Final = 0.005
"""Between looks at a full buffer while republishing."""


@dataclass(slots=True)
class HandoverCounts:
    """What has gone through since the process started, in events; `adopted` in directories."""

    accepted: int = 0
    published: int = 0
    republished: int = 0
    adopted: int = 0
    damaged: int = 0


class Handover:
    """The journal, the barrier and the publisher, working together.

    Args:
        loop: The loop of this process.
        journal: This process's journal.
        publisher: Not started yet.
        clock: Where time comes from.
        on_ready_count: Told the deliveries ready in the events queue with every answered probe.
    """

    def __init__(
        self,
        loop: Loop,
        journal: Journal,
        publisher: Publisher,
        clock: Clock,
        on_ready_count: Callable[[int], None],
    ) -> None:
        self._loop = loop
        self._journal = journal
        self._publisher = publisher
        self._clock = clock
        self._on_ready_count = on_ready_count
        self._barrier = Barrier()
        self._waiting = WaitingSegments()
        self._adopted: list[Adopted] = []
        self._live = False
        self._probing = False
        self._pumping = False
        self._turn_is_open = False
        self._connections = 0
        self._adopt_at = 0.0
        self._held: list[Callable[[], None]] = []
        self.counts = HandoverCounts()

    def start(self) -> None:
        """Connect to the broker, adopt what dead processes left, and tick from now on."""
        self._publisher.start(self)
        self._tick()

    def accept(self, properties: bytes, body: bytes) -> None:
        """Keep one event and send it on its way; it is kept when this returns.

        Raises:
            JournalFullError: It is not kept; answer 503.
        """
        self._journal.append(properties, body)
        self.counts.accepted += 1
        if self._live:
            self._publisher.publish(properties, body)
            self.counts.published += 1
        self._open_turn()

    def after_sync(self, callback: Callable[[], None]) -> None:
        """Call *callback* when all that was accepted in this turn is as durable as it will be."""
        self._held.append(callback)
        self._open_turn()

    def stop(self, then: Callable[[], None]) -> None:
        """Flush what is published, wait for one answer if the broker is there, let go of the journal.

        What is not proven by then stays in the directory for the next process to adopt.
        """

        def finish() -> None:
            self._publisher.stop()
            self._journal.close()
            then()

        self._end_turn()
        if self._publisher.ready and not self._publisher.blocked:
            self._publisher.probe(lambda _count: finish())
        else:
            finish()

    @property
    def is_blocked(self) -> bool:
        """Whether the broker has said that it takes nothing for now."""
        return self._publisher.blocked

    def status(self) -> dict[str, object]:
        """Return the journal's state for health reports: sizes in bytes, age in seconds."""
        return {
            "directory": self._journal.directory.name,
            "bytes": self._journal.size,
            "waiting_bytes": self._waiting.size + (0 if self._live else self._journal.active.size),
            "oldest_entry_s": self._oldest_age(),
            "broker": self._broker_state(),
            "accepted": self.counts.accepted,
            "republished": self.counts.republished,
            "adopted_directories": self.counts.adopted,
            "damaged_bytes": self.counts.damaged,
        }

    # The publisher's listener.

    def on_broker_up(self) -> None:
        """Publish from now on; what was journalled before waits for its turn."""
        self._connections += 1
        self._probing = False
        self._set_live(live=True)

    def on_broker_down(self) -> None:
        """Put everything unproven back to the top."""
        self._set_live(live=False)
        self._probing = False
        self._waiting.restore(self._barrier.interrupt())

    def on_broker_blocked(self) -> None:
        """Journal only; what is on its way stays so."""
        self._set_live(live=False)

    def on_broker_unblocked(self) -> None:
        """Publish again over the same connection."""
        self._set_live(live=True)

    # The loop's turns and timers.

    def _open_turn(self) -> None:
        if not self._turn_is_open:
            self._turn_is_open = True
            self._loop.at_end_of_turn(self._end_turn)

    def _end_turn(self) -> None:
        self._turn_is_open = False
        self._journal.sync()
        held, self._held = self._held, []
        for callback in held:
            callback()
        self._publisher.flush()
        if self._live and self._publisher.buffered_bytes > BUFFER_HIGH_BYTES:
            self._set_live(live=False)
        elif self._journal.active.size >= SEGMENT_BYTES:
            self._rotate()

    def _tick(self) -> None:
        self._loop.call_later(PROBE_SECONDS, self._tick)
        now = self._clock.monotonic()
        if now >= self._adopt_at:
            self._adopt_at = now + ADOPT_SECONDS
            self._adopt()
        if self._can_publish() and not self._live and self._publisher.buffered_bytes < BUFFER_LOW_BYTES:
            self._set_live(live=True)
        if self._live:
            self._rotate()
        if self._can_publish() and not self._probing:
            self._probe()
        self._pump_soon(0.0)

    def _probe(self) -> None:
        self._probing = True
        self._barrier.ask()
        asked_on = self._connections

        def on_answer(ready_count: int) -> None:
            if asked_on == self._connections and self._probing:
                self._probing = False
                self._on_answer(ready_count)

        self._publisher.probe(on_answer)

    def _on_answer(self, ready_count: int) -> None:
        self._on_ready_count(ready_count)
        for segment in self._barrier.answer(self._clock.monotonic()):
            self._journal.discard(segment)
        self._adopted = [adopted for adopted in self._adopted if not adopted.release_if_empty()]

    def _adopt(self) -> None:
        for adopted in self._journal.adopt():
            self.counts.adopted += 1
            self._adopted.append(adopted)
            self._waiting.extend(adopted.segments)
            logger().warning(
                "journal_adopted",
                directory=adopted.directory.name,
                segments=len(adopted.segments),
                bytes=sum(segment.size for segment in adopted.segments),
            )

    # What is published, and when.

    def _can_publish(self) -> bool:
        return self._publisher.ready and not self._publisher.blocked

    def _set_live(self, *, live: bool) -> None:
        """Change over at a segment's border, so that each segment is wholly published or not at all."""
        if live != self._live:
            self._rotate()
            self._live = live
        if live:
            self._pump_soon(0.0)

    def _rotate(self) -> None:
        if self._journal.active.size == 0:
            return
        closed = self._journal.rotate(self._clock.now_us())
        if self._live:
            self._barrier.add(closed)
        else:
            self._waiting.extend([closed])

    def _pump_soon(self, delay: float) -> None:
        if not self._pumping and self._waiting and self._can_publish():
            self._pumping = True
            self._loop.call_later(delay, self._pump)

    def _pump(self) -> None:
        """Publish one slice of what is waiting, and come again."""
        self._pumping = False
        if not self._can_publish():
            return
        if self._publisher.buffered_bytes > BUFFER_LOW_BYTES:
            self._pump_soon(PACE_SECONDS)
            return
        entries, finished = self._waiting.take(SLICE_EVENTS)
        for entry in entries:
            self._publisher.publish(entry.properties, entry.body)
        self.counts.republished += len(entries)
        self._publisher.flush()
        for segment in finished:
            self._finish(segment)
        self._pump_soon(0.0)

    def _finish(self, segment: Segment) -> None:
        if segment.is_damaged:
            self.counts.damaged += 1
        self._barrier.add(segment)

    def _broker_state(self) -> str:
        if not self._publisher.ready:
            return "away"
        return "blocked" if self._publisher.blocked else "up"

    def _oldest_age(self) -> float:
        active = self._journal.active
        oldest = [*self._waiting.segments, *self._barrier.segments, *([active] if active.size else [])]
        if not oldest:
            return 0.0
        age_us = self._clock.now_us() - min(segment.opened_at_us for segment in oldest)
        return round(max(0.0, age_us / 1_000_000), 3)
