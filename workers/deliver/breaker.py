"""Decide how much a destination is asked at present, by how it has answered; one process's own view.

Nothing is shared: each process finds out for itself, at the cost of a few requests, and no process can keep
the others from a destination that answers them.
"""

from __future__ import annotations

from typing import Final

from workers.deliver.judgement import pause_after

DOWN_CONVERSATIONS: Final = 5
"""If as many in a row get no answer, or one that means "away", the destination is down."""

MAX_PAUSE_SECONDS: Final = 60.0
"""Between two probes of a destination that is down: its return is noticed within this time."""

REFUSING_CONVERSATIONS: Final = 20
"""If as many in a row get an answer that may concern every event, the destination refuses everything. A
destination that refuses nine of ten events gives such a row once in eight times, and is asked on."""

REFUSING_PAUSE_SECONDS: Final = 0.1
"""Between two probes of a destination that refuses everything: it answers, so probes are cheap, and the
first event that it takes ends the hold. If the row was chance, good events wait for a second."""

REFUSING_SECONDS: Final = 30.0
"""A destination that has taken nothing for as long, and refused, is reported as refusing everything."""


class Breaker:
    """One destination's state, kept by one thread; times are monotonic seconds."""

    def __init__(self) -> None:
        self._failing: set[str] = set()
        self._refused: set[str] = set()
        self._refusing_since: float | None = None
        self._pauses = 0
        self._held_until = 0.0

    @property
    def is_down(self) -> bool:
        """Return whether it is away: then one event at a time is tried, and its failures do not count."""
        return len(self._failing) >= DOWN_CONVERSATIONS

    def refuses_everything(self, now: float) -> bool:
        """Return whether it has refused events for a while, and taken none."""
        return self._refusing_since is not None and now - self._refusing_since >= REFUSING_SECONDS

    def room(self, now: float, in_flight: int, capacity: int) -> int:
        """Return how many more conversations may be tried now."""
        if now < self._held_until:
            return 0
        is_probed = self.is_down or len(self._refused) >= REFUSING_CONVERSATIONS
        return max(0, (1 if is_probed else capacity) - in_flight)

    def succeeded(self) -> bool:
        """Note that it took an event; return whether it was down until now."""
        self._refused.clear()
        self._refusing_since = None
        return self.answered()

    def answered(self) -> bool:
        """Note that it refused an event: it is not away. Return whether it was down until now."""
        was_down = self.is_down
        self._failing.clear()
        self._pauses = 0
        return was_down

    def refused(self, conversation_id: str, now: float) -> bool:
        """Note an answer that may concern every event; return whether it was down until now."""
        if len(self._refused) < REFUSING_CONVERSATIONS:
            self._refused.add(conversation_id)
        else:
            self._held_until = max(self._held_until, now + REFUSING_PAUSE_SECONDS)
        if self._refusing_since is None:
            self._refusing_since = now
        return self.answered()

    def failed(self, conversation_id: str, now: float, asked: float | None) -> bool:
        """Note that it is away for an event; return whether it counts as down from now on.

        Args:
            conversation_id: The event's conversation.
            now: The present.
            asked: The seconds of its Retry-After, which all its events wait for; None for none.
        """
        was_down = self.is_down
        if len(self._failing) < DOWN_CONVERSATIONS:
            self._failing.add(conversation_id)
        pause = asked or 0.0
        if self.is_down:
            self._pauses += 1
            pause = max(pause, min(pause_after(self._pauses), MAX_PAUSE_SECONDS))
        self._held_until = max(self._held_until, now + pause)
        return self.is_down and not was_down
