"""Hand accepted events over to the broker: live while it takes them, out of the journal when it did not.

An event is always in the journal first. It is in exactly one of these states, and moves only downwards
but for an interruption, which puts everything unproven back to the top:

* waiting: in a closed segment that the republisher has, or in the active one while not `_live`
* published: in the active segment while `_live`, or in a segment of the proof
* proven: its segment is unlinked, or it was set aside as too large for the broker

Publishing an event twice costs nothing, the unique index drops it; so whenever it is not sure, it is sent
again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from webhook_api.journal import SEGMENT_BYTES
from webhook_api.relay.report import report_of
from webhook_api.relay.republisher import BUFFER_LOW_BYTES, Republisher

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from messaging.clock import Clock
    from webhook_api.backpressure import QueueReport
    from webhook_api.journal import Journal, Segment
    from webhook_api.relay.outlet import Outlet
    from webhook_api.relay.oversized import Oversized
    from webhook_api.statistics import Statistics

TICK_SECONDS: Final = 0.5
"""Between probes: short enough that little is published twice after an interruption."""

BUFFER_HIGH_BYTES: Final = 2 * 1024 * 1024
"""Unsent bytes, above the kernel's own, from which events go to the journal only: the broker is too slow."""


class Relay:
    """The journal and the outlet, working together.

    Args:
        loop: The loop of this process.
        journal: This process's journal.
        outlet: Not started yet.
        oversized: Takes what is too large for the broker.
        clock: Where time comes from.
        statistics: Told how soon answers leave.
    """

    def __init__(  # noqa: PLR0917  # collaborators
        self,
        loop: asyncio.AbstractEventLoop,
        journal: Journal,
        outlet: Outlet,
        oversized: Oversized,
        clock: Clock,
        statistics: Statistics,
    ) -> None:
        self._loop = loop
        self._journal = journal
        self._outlet = outlet
        self._oversized = oversized
        self._clock = clock
        self._statistics = statistics
        self._republisher = Republisher(loop, outlet, oversized, lambda: self.accepted)
        self._live = self._turn_is_open = self._is_oversized = False
        self._notes = 0
        self._held: list[Callable[[bool], None]] = []
        self.accepted = 0

    def start(self) -> None:
        """Connect to the broker, adopt what dead processes left, and tick from now on."""
        self._outlet.start(self)
        self._tick()

    def accept(self, properties: bytes, body: bytes) -> None:
        """Take one event in; it is kept, and on its way, at the end of this turn: answer `when_kept`.

        Raises:
            JournalFullError: It is not taken in; answer 503.
        """
        self._journal.append(properties, body)
        if len(body) > self._outlet.size_limit:
            self._is_oversized = True
        if not self._turn_is_open:
            self._open_turn()

    def when_kept(self, callback: Callable[[bool], None]) -> None:
        """Call *callback* at the end of this turn.

        It is told whether all that was accepted in the turn is as durable as `OM_JOURNAL_FSYNC` demands; an
        event that is not must not be answered 200.
        """
        self._held.append(callback)
        if not self._turn_is_open:
            self._open_turn()

    def keep_now(self) -> bool:
        """End the turn now, for an answer that cannot wait for it; return what `when_kept` would tell."""
        outcomes: list[bool] = []
        self.when_kept(outcomes.append)
        self._end_turn()
        return outcomes[0]

    def accept_note(self, properties: bytes, body: bytes) -> None:
        """Take in, like an event, what no sender waits for; raises as `accept`."""
        self.accept(properties, body)
        self._notes += 1

    def stop(self, then: Callable[[], None]) -> None:
        """Flush what is published, wait for one answer if the broker is there, let go of the journal.

        What is not proven by then stays in the directory for the next process to adopt.
        """

        def finish() -> None:
            self._outlet.finish()
            self._journal.close()
            then()

        self._end_turn()
        if self._outlet.is_reachable:
            self._outlet.ask_once(finish)
        else:
            finish()

    def told(self, report: QueueReport) -> None:
        """Take in what the management API told of the queue's members."""
        self._outlet.told(report)

    @property
    def is_blocked(self) -> bool:
        """Whether the broker has said that it takes nothing for now, or its queue has no majority."""
        return self._outlet.state in {"blocked", "no_majority"}

    def status(self) -> dict[str, object]:
        """Return the journal's state for health reports: sizes in bytes, age in seconds."""
        report = report_of(
            self._journal,
            self._republisher,
            self._outlet,
            self._oversized,
            is_live=self._live,
            now_us=self._clock.now_us(),
        )
        return {**report, "accepted": self.accepted - self._notes}

    # The outlet's keeper.

    @property
    def has_backlog(self) -> bool:
        """Whether events wait in the journal for room in the queue."""
        return self._republisher.has_work

    def on_open(self) -> None:
        """Publish from now on; what was journalled before waits for its turn."""
        self._set_live(live=True)

    def on_shut(self) -> None:
        """Journal only."""
        self._set_live(live=False)

    def on_interrupted(self, unproven: list[Segment]) -> None:
        """Put everything unproven back to the top."""
        self._republisher.restore(unproven)

    def on_answer(self, proven: list[Segment], room: int) -> None:
        """Let go of what the broker has, and send on what it has room for."""
        self._republisher.allow(room)
        for segment in proven:
            self._journal.discard(segment)

    # The loop's turns and timers.

    def _open_turn(self) -> None:
        self._turn_is_open = True
        self._statistics.open_turn()
        # After one more look at the sockets: what has come while these events were handled joins them.
        self._loop.call_soon(self._loop.call_soon, self._end_turn)

    def _end_turn(self) -> None:
        self._turn_is_open = False
        is_kept = False
        try:
            is_kept = self._keep()
            # Before the answers: those who read them want the processor next.
            self._outlet.flush()
        finally:
            held, self._held = self._held, []
            for callback in held:
                callback(is_kept)
            self._statistics.close_turn(len(held), is_kept=is_kept)
        if self._live and self._outlet.buffered_bytes > BUFFER_HIGH_BYTES:
            self._set_live(live=False)
        elif self._journal.active.size >= SEGMENT_BYTES:
            self._rotate()

    def _keep(self) -> bool:
        """Keep the turn's events, and publish what is kept; return whether it is all of them."""
        if self._is_oversized:
            self._is_oversized = False
            # The republisher sets it aside; what was published before it is in a segment of its own.
            self._set_live(live=False)
        events = self._journal.write()
        self.accepted += len(events)
        if self._live:
            self._outlet.publish(events)
        is_kept = self._journal.sync()
        if not is_kept:
            self._rotate()
        return is_kept

    def _tick(self) -> None:
        self._loop.call_later(TICK_SECONDS, self._tick)
        self._republisher.extend(self._journal.tend(self._clock.monotonic()))
        if not self._live and self._outlet.is_open and self._outlet.buffered_bytes <= BUFFER_LOW_BYTES:
            self._set_live(live=True)
        if self._live:
            self._rotate()
        if not self._journal.active.size:
            # Its first event may come after hours: the age of that one is told, not the file's.
            self._journal.active.opened_at_us = self._clock.now_us()
        self._outlet.tick()
        self._republisher.go_on()

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
            self._outlet.prove(closed)
        else:
            self._republisher.extend([closed])
