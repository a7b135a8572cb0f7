"""Hand accepted events over to the broker: live while it takes them, out of the journal when it did not.

An event is always in the journal first. It is in exactly one of these states, and moves only downwards
but for an interruption, which puts everything unproven back to the top:

* waiting: in a closed segment that the republisher has, or in the active one while not `_live`
* published: in the active segment while `_live`, or in a segment of the barrier
* proven: its segment is unlinked

Publishing an event twice costs nothing, the unique index drops it; so whenever it is not sure, it is sent
again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from webhook_api.handover.adoption import Adoption
from webhook_api.handover.barrier import Barrier
from webhook_api.handover.republisher import BUFFER_LOW_BYTES, Republisher
from webhook_api.journal.journal import SEGMENT_BYTES

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from messaging.clock import Clock
    from messaging.publisher import Publisher
    from webhook_api.journal.journal import Journal
    from webhook_api.pressure.gate import Gate

PROBE_SECONDS: Final = 0.5
"""Between probes: short enough that little is published twice after an interruption."""

BUFFER_HIGH_BYTES: Final = 2 * 1024 * 1024
"""Unsent bytes, above the kernel's own, from which events go to the journal only: the broker is too slow."""

PROBE_TIMEOUT_SECONDS: Final = 120.0
"""An answer this late, with no alarm told, will not come: the connection is made anew."""


class Handover:
    """The journal, the barrier and the publisher, working together.

    Args:
        loop: The loop of this process.
        journal: This process's journal.
        publisher: Not started yet.
        clock: Where time comes from.
        gate: Told what is published, and the deliveries ready in the events queue with every answered
            probe; says how many waiting events may join them.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        journal: Journal,
        publisher: Publisher,
        clock: Clock,
        gate: Gate,
    ) -> None:
        self._loop = loop
        self._journal = journal
        self._publisher = publisher
        self._clock = clock
        self._gate = gate
        self._barrier = Barrier()
        self._republisher = Republisher(
            loop, publisher, self._barrier.add, lambda: self.accepted, gate.count_published
        )
        self._adoption = Adoption(journal, self._republisher)
        self._live = False
        self._probing = False
        self._turn_is_open = False
        self._connections = 0
        self._asked_at = 0.0
        self._held: list[Callable[[bool], None]] = []
        self.accepted = 0

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
        self.accepted += 1
        if self._live:
            self._publisher.publish(properties, body)
            self._gate.count_published()
        self._open_turn()

    def after_sync(self, callback: Callable[[bool], None]) -> None:
        """Call *callback* at the end of this turn.

        It is told whether all that was accepted in the turn is as durable as `OM_JOURNAL_FSYNC` demands; an
        event that is not must not be answered 200.
        """
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
        if self._publisher.can_publish:
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
            "directory": self._journal.directory.name if self._journal.directory else None,
            "bytes": self._journal.size,
            "waiting_bytes": self._republisher.waiting.size
            + (0 if self._live else self._journal.active.size),
            "oldest_entry_s": self._oldest_age(),
            "broker": self._broker_state(),
            "accepted": self.accepted,
            "flush_failures": self._journal.flush_failures,
            "republished": self._republisher.republished,
            "adopted_directories": self._adoption.directories,
            "damaged_segments": self._republisher.damaged_segments,
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
        self._republisher.restore(self._barrier.interrupt())

    def on_broker_blocked(self) -> None:
        """Journal only; what is on its way stays so."""
        self._set_live(live=False)

    def on_broker_unblocked(self) -> None:
        """Publish again over the same connection; the probe on its way may now be answered."""
        self._asked_at = self._clock.monotonic()
        self._set_live(live=True)

    # The loop's turns and timers.

    def _open_turn(self) -> None:
        if not self._turn_is_open:
            self._turn_is_open = True
            # It runs when all events of this turn of the loop have been handled.
            self._loop.call_soon(self._end_turn)

    def _end_turn(self) -> None:
        self._turn_is_open = False
        is_durable = self._journal.sync()
        if not is_durable:
            self._rotate()
        held, self._held = self._held, []
        for callback in held:
            callback(is_durable)
        self._publisher.flush()
        if self._live and self._publisher.buffered_bytes > BUFFER_HIGH_BYTES:
            self._set_live(live=False)
        elif self._journal.active.size >= SEGMENT_BYTES:
            self._rotate()

    def _tick(self) -> None:
        self._loop.call_later(PROBE_SECONDS, self._tick)
        now = self._clock.monotonic()
        self._adoption.look(now)
        can_publish = self._publisher.can_publish
        if can_publish and not self._live and self._publisher.buffered_bytes <= BUFFER_LOW_BYTES:
            self._set_live(live=True)
        if self._live:
            self._rotate()
        if can_publish:
            self._probe(now)
        self._republisher.go_on()

    def _probe(self, now: float) -> None:
        if self._probing:
            if now - self._asked_at > PROBE_TIMEOUT_SECONDS:
                self._publisher.abort("no answer to a probe")
            return
        self._probing = True
        self._asked_at = now
        self._barrier.ask()
        asked_on = self._connections

        def on_answer(ready_count: int) -> None:
            if asked_on == self._connections and self._probing:
                self._probing = False
                self._on_answer(ready_count)

        self._publisher.probe(on_answer)

    def _on_answer(self, ready_count: int) -> None:
        self._republisher.allow(self._gate.on_ready_count(ready_count))
        for segment in self._barrier.answer(self._clock.monotonic()):
            self._journal.discard(segment)
        self._adoption.release()

    # What is published, and when.

    def _set_live(self, *, live: bool) -> None:
        """Change over at a segment's border, so that each segment is wholly published or not at all."""
        if live != self._live:
            self._rotate()
            self._live = live
        if live:
            self._republisher.go_on()

    def _rotate(self) -> None:
        if self._journal.active.size == 0:
            return
        closed = self._journal.rotate(self._clock.now_us())
        if self._live:
            self._barrier.add(closed)
        else:
            self._republisher.extend([closed])

    def _broker_state(self) -> str:
        if not self._publisher.ready:
            return "away"
        return "blocked" if self._publisher.blocked else "up"

    def _oldest_age(self) -> float:
        active = self._journal.active
        oldest = [
            *self._republisher.waiting.segments,
            *self._barrier.segments,
            *([active] if active.size else []),
        ]
        if not oldest:
            return 0.0
        age_us = self._clock.now_us() - min(segment.opened_at_us for segment in oldest)
        return round(max(0.0, age_us / 1_000_000), 3)
