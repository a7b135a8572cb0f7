"""Relay accepted events to the broker: live while it accepts them, otherwise later from the journal.

An event is always written to the journal first. It is in exactly one of these states, and moves only down the
list, except that an interruption moves all unproven events back to the top:

* waiting: in a closed segment of the republisher, or in the active segment while not `_is_live`
* published: in the active segment while `_is_live`, or in one of the link's segments
* proven: its segment is unlinked, or the event was set aside because it is too large for the broker

Publishing an event twice is harmless, because the unique index drops the copy. So in doubt it is repeated.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from messaging.clock import Clock
from webhook_api.answers import Answers
from webhook_api.journal import SEGMENT_BYTES, Journal, Segment
from webhook_api.relay.link import BrokerLink
from webhook_api.relay.oversized import Oversized
from webhook_api.relay.republisher import BUFFER_LOW_BYTES, Republisher

TICK_SECONDS: Final = 0.5
"""Time between probes: short enough that few events are published twice after an interruption."""

BUFFER_HIGH_BYTES: Final = 2 * 1024 * 1024
"""While more bytes than this wait for the kernel, new events are only journalled: the broker is too slow."""


class Relay:
    """The journal and the link to the broker, working together.

    A turn of the loop accepts events. At its end, they are written together and published, and their
    responses are sent. `accepted`: webhooks since the start.
    """

    def __init__(  # noqa: PLR0917  # collaborators
        self,
        loop: asyncio.AbstractEventLoop,
        journal: Journal,
        link: BrokerLink,
        oversized: Oversized,
        clock: Clock,
        answers: Answers,
    ) -> None:
        self._loop = loop
        self._journal = journal
        self._link = link
        self._oversized = oversized
        self._clock = clock
        self._answers = answers
        self._republisher = Republisher(loop, link, oversized, lambda: self.accepted)
        self._is_live = self._is_turn_open = self._has_oversized = False
        self._is_undeferred = False
        self._canaries = 0
        self._deferred: list[Callable[[bool], None]] = []
        self.accepted = 0

    def start(self) -> None:
        """Connect to the broker, adopt the journals of dead processes, and start the timer."""
        self._link.start(self._set_live, self._republisher.restore, self._on_probe_answered)
        self._tick()

    def accept(self, properties: bytes, body: bytes) -> None:
        """Accept one event; raises JournalFullError if it cannot be kept: respond 503.

        Do not respond 200 before the event is durable: see `on_durable` and `flush_now`.
        """
        self._journal.append(properties, body)
        self._is_undeferred = True
        if len(body) > self._link.size_limit:
            self._has_oversized = True
        if not self._is_turn_open:
            self._open_turn()

    def on_durable(self, callback: Callable[[bool], None]) -> None:
        """Call *callback* at the end of this turn, with whether all events accepted in it are durable.

        `OM_JOURNAL_FSYNC` defines what counts as durable.
        """
        self._is_undeferred = False
        self._deferred.append(callback)
        if not self._is_turn_open:
            self._open_turn()

    def flush_undeferred(self) -> bool:
        """End the turn if the last response was not deferred; return False if its event is not durable."""
        return not self._is_undeferred or self.flush_now()

    def flush_now(self) -> bool:
        """End the turn now, for a response that cannot be deferred; return whether its events are durable."""
        if not self._is_turn_open:
            return True
        outcomes: list[bool] = []
        self._deferred.append(outcomes.append)
        self._end_turn()
        return outcomes[0]

    def accept_canary(self, properties: bytes, body: bytes) -> None:
        """Accept a canary, which is not counted as a webhook; raises as `accept`."""
        self.accept(properties, body)
        self._canaries += 1

    def stop(self, then: Callable[[], None]) -> None:
        """Flush, wait for one last answer if the broker is up, close the journal, then call *then*.

        Unproven events stay in the directory, and another process adopts them.
        """

        def finish() -> None:
            self._journal.close()
            then()

        self._end_turn()
        self._link.stop(finish)

    @property
    def is_blocked(self) -> bool:
        """Whether the broker accepts nothing for now, or its queue has no majority."""
        return self._link.state in {"blocked", "no_majority"}

    def status(self) -> dict[str, object]:
        """Return the journal's state for health reports: sizes in bytes, ages in seconds."""
        waiting, unproven, active = self._republisher.backlog, self._link.unproven, self._journal.active
        held = [*waiting.segments, *unproven, *([active] if active.size else [])]
        now_us = self._clock.now_us()
        return {
            **self._journal.status(),
            "accepted": self.accepted,
            "waiting_bytes": waiting.size + (0 if self._is_live else active.size),
            "entries": sum(segment.events for segment in held),
            "oldest_entry_s": _oldest_age(held, now_us),
            "oldest_unproven_s": _oldest_age(unproven, now_us),
            "majority_seen_s": self._link.majority_age,
            "broker": self._link.state,
            "republished": self._republisher.republished,
            "unreadable_segments": waiting.unreadable,
            "damaged_segments": self._republisher.damaged_segments,
            "oversized": self._oversized.count,
        }

    def _on_probe_answered(self, proven: list[Segment], allowance: int) -> None:
        self._republisher.allow(allowance)
        for segment in proven:
            self._journal.discard(segment)

    # The loop's turns and timers.

    def _open_turn(self) -> None:
        self._is_turn_open = True
        self._answers.open_turn()
        # Read the sockets once more first, so that requests that arrived meanwhile join this turn.
        self._loop.call_soon(self._loop.call_soon, self._end_turn)

    def _end_turn(self) -> None:
        self._is_turn_open = self._is_undeferred = False
        is_durable = False
        try:
            is_durable = self._write_turn()
            # Publish before the responses are sent: their receivers need the processor next.
            self._link.flush()
        finally:
            deferred, self._deferred = self._deferred, []
            for callback in deferred:
                callback(is_durable)
            self._answers.close_turn(len(deferred) - self._canaries, is_durable=is_durable)
            self._canaries = 0
        if self._is_live and self._link.buffered_bytes > BUFFER_HIGH_BYTES:
            self._set_live(False)
        elif self._journal.active.size >= SEGMENT_BYTES:
            self._rotate()

    def _write_turn(self) -> bool:
        """Write the turn's events and publish them; return whether all of them are durable."""
        if self._has_oversized:
            self._has_oversized = False
            # The republisher sets the event aside. Events published before it are in a separate segment.
            self._set_live(False)
        events = self._journal.write()
        self.accepted += len(events) - self._canaries
        if self._is_live:
            self._link.publish(events)
        is_durable = self._journal.sync()
        if not is_durable:
            self._rotate()
        return is_durable

    def _tick(self) -> None:
        self._loop.call_later(TICK_SECONDS, self._tick)
        self._republisher.extend(self._journal.tend(self._clock.monotonic()))
        if not self._is_live and self._link.is_open and self._link.buffered_bytes <= BUFFER_LOW_BYTES:
            self._set_live(True)
        if self._is_live:
            self._rotate()
        if not self._journal.active.size:
            # The first event may arrive hours later, and reports show the age of that event, not of the file.
            self._journal.active.opened_at_us = self._clock.now_us()
        self._link.tick()
        self._republisher.resume()

    # What is published, and when.

    def _set_live(self, live: bool) -> None:  # noqa: FBT001  # a callback's argument
        """Switch at the border of a segment, so that a segment is published live as a whole or not at all."""
        if live != self._is_live:
            self._rotate()
            self._is_live = live
        if live:
            self._republisher.resume()

    def _rotate(self) -> None:
        if self._journal.active.size == 0:
            return
        closed = self._journal.rotate(self._clock.now_us())
        if self._is_live:
            self._link.prove(closed)
        else:
            self._republisher.extend([closed])


def _oldest_age(segments: Iterable[Segment], now_us: int) -> float:
    """Return the age of the oldest segment, in seconds; 0 if there is none."""
    oldest_us = min((segment.opened_at_us for segment in segments), default=now_us)
    return round(max(0.0, (now_us - oldest_us) / 1_000_000), 3)
