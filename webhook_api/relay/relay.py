"""Relay accepted events to the broker: live while the broker accepts them, otherwise later from the journal.

An event is always written to the journal first. It is in exactly one of these states, and moves only down the
list, except that an interruption moves all unproven events back to the top:

* waiting: in a closed segment of the republisher, or in the active segment while not `_is_live`
* published: in the active segment while `_is_live`, or in one of the link's segments
* proven: its segment is unlinked, or the event was set aside because it is too large for the broker

When in doubt, the relay publishes an event again. This is harmless, because a unique index rejects the copy.
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
"""Interval between probes. It is short, so that few events are published twice after an interruption."""

BUFFER_HIGH_BYTES: Final = 2 * 1024 * 1024
"""If more bytes than this await the kernel, the broker is too slow, and new events are only journalled."""


class Relay:
    """Combines the journal with the link to the broker.

    At the end of each turn of the loop, the events that were accepted in the turn are written together and
    published, and their responses are sent. `accepted` counts the webhooks that this process has accepted.
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
        """Connect to the broker, adopt segments of dead processes, and start the timer."""
        self._link.start(self._set_live, self._republisher.restore, self._on_probe_answered)
        self._tick()

    def accept(self, properties: bytes, body: bytes) -> None:
        """Accept one event; raise JournalFullError if the journal cannot keep it.

        The caller must not respond with 200 before the event is durable: see `on_durable` and `flush_now`.
        """
        self._journal.append(properties, body)
        self._is_undeferred = True
        if len(body) > self._link.size_limit:
            self._has_oversized = True
        if not self._is_turn_open:
            self._open_turn()

    def on_durable(self, callback: Callable[[bool], None]) -> None:
        """Call *callback* at the end of this turn, with True if the turn's events are durable, else False."""
        self._is_undeferred = False
        self._deferred.append(callback)
        if not self._is_turn_open:
            self._open_turn()

    def flush_undeferred(self) -> bool:
        """If the last response was not deferred, end the turn; return False if its event is not durable."""
        return not self._is_undeferred or self.flush_now()

    def flush_now(self) -> bool:
        """End the turn now, for a response that cannot be deferred; return whether all events are durable."""
        if not self._is_turn_open:
            return True
        outcomes: list[bool] = []
        self._deferred.append(outcomes.append)
        self._end_turn()
        return outcomes[0]

    def accept_canary(self, properties: bytes, body: bytes) -> None:
        """Accept a canary, which is not counted as a webhook; raise the same error as `accept`."""
        self.accept(properties, body)
        self._canaries += 1

    def stop(self, then: Callable[[], None]) -> None:
        """End the turn; if the broker is up, wait for a last probe's answer; close the journal; call *then*.

        Unproven events stay in the journal's directory, and another process adopts them.
        """

        def finish() -> None:
            self._journal.close()
            then()

        self._end_turn()
        self._link.stop(finish)

    @property
    def is_blocked(self) -> bool:
        """Whether the broker is connected but has an alarm, or its queue has no reported majority."""
        return self._link.state in {"blocked", "no_majority"}

    def status(self) -> dict[str, object]:
        """Return the state of the journal and the link for health reports, in bytes and seconds."""
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
            "postponed_segments": waiting.postponed,
            "damaged_segments": self._republisher.damaged_segments,
            "oversized": self._oversized.count,
        }

    def _on_probe_answered(self, proven: list[Segment], allowance: int) -> None:
        self._republisher.allow(allowance)
        for segment in proven:
            self._journal.discard(segment)

    # The following methods run at the end of a turn and on the timer.

    def _open_turn(self) -> None:
        self._is_turn_open = True
        self._answers.open_turn()
        # Let the loop read the sockets once more, so that requests that have just arrived join this turn.
        self._loop.call_soon(self._loop.call_soon, self._end_turn)

    def _end_turn(self) -> None:
        self._is_turn_open = self._is_undeferred = False
        is_durable = False
        try:
            is_durable = self._write_turn()
            # Publish before sending the responses: the senders that receive them compete for the processor.
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
        """Write the events of the turn and publish them; return whether all of them are durable."""
        if self._has_oversized:
            self._has_oversized = False
            # Let the republisher set the event aside. Events published live so far stay in another segment.
            self._set_live(False)
        events = self._journal.write()
        if self._is_live:
            self._link.publish(events)
        is_durable = self._journal.sync()
        if is_durable:
            self.accepted += len(events) - self._canaries
        else:
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
            # Reports show the age of the first event, which can arrive long after the file was opened.
            self._journal.active.opened_at_us = self._clock.now_us()
        self._link.tick()
        self._republisher.resume()

    # The following methods decide which segments are published live.

    def _set_live(self, live: bool) -> None:  # noqa: FBT001  # a callback's argument
        """Start or stop live publishing. Open a new segment: none may be published live only in part."""
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
