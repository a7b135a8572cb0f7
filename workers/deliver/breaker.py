"""Decide how much a destination is asked at present, by how it has answered; one process's own view.

Nothing is shared: each process finds out for itself, at the cost of a few requests, and no process can keep
the others from a destination that answers them.
"""

from __future__ import annotations

from typing import Final

from workers.deliver.judgement import pause_after

DOWN_CONVERSATIONS: Final = 5
"""So many in a row without a success between them are no matter of the events'."""

LONGEST_PAUSE: Final = 60.0
"""Between two probes of a destination that is down: how late its return is noticed at most."""


class Breaker:
    """One destination's state, told of every attempt by one thread; times are monotonic seconds."""

    def __init__(self) -> None:
        self._failing: set[str] = set()
        self._pauses = 0
        self._held_until = 0.0

    @property
    def is_down(self) -> bool:
        """Tell whether it takes nothing: then one event at a time is tried, and its failures not counted."""
        return len(self._failing) >= DOWN_CONVERSATIONS

    def room(self, now: float, in_flight: int, capacity: int) -> int:
        """Return how many more conversations may be tried now."""
        if now < self._held_until:
            return 0
        return max(0, (1 if self.is_down else capacity) - in_flight)

    def succeeded(self) -> bool:
        """Note that it took an event; return whether it was down until now."""
        was_down = self.is_down
        self._failing.clear()
        self._pauses = 0
        return was_down

    def failed(self, conversation_id: str, now: float, asked: float | None) -> bool:
        """Note that it refused one or did not answer; return whether it counts as down from now on.

        Args:
            conversation_id: Whose event it was.
            now: The present.
            asked: The seconds of its Retry-After, which all its events wait for; None for none.
        """
        was_down = self.is_down
        if len(self._failing) < DOWN_CONVERSATIONS:
            self._failing.add(conversation_id)
        pause = asked or 0.0
        if self.is_down:
            self._pauses += 1
            pause = max(pause, min(pause_after(self._pauses), LONGEST_PAUSE))
        self._held_until = max(self._held_until, now + pause)
        return self.is_down and not was_down
