"""Acknowledge deliveries together: each acknowledgement costs the broker an entry in its log, and a flush.

Where many come, a batch is acknowledged as soon as it is durable. Where they come one by one, an
acknowledgement for each would have the next event wait for its flush, in the broker and in a database on the
same disk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from messaging.consuming.put_off import acknowledgements

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Collection, Sequence

ACKNOWLEDGE_SECONDS: Final = 0.05
"""For so long a settled delivery waits for others. What a worker that is killed meanwhile has committed is
delivered again, and known by its key."""


class Acknowledger:
    """Gathers the tags of deliveries that are durable.

    Args:
        loop: Every method is called on it.
        enough: So many are acknowledged at once.
        open_tags: Those put off, which no acknowledgement may cover.
        acknowledge: Called with a tag and whether all before it are meant too.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        enough: int,
        open_tags: Collection[int],
        acknowledge: Callable[[int, bool], None],
    ) -> None:
        self._loop = loop
        self._enough = enough
        self._open_tags = open_tags
        self._acknowledge = acknowledge
        self._tags: list[int] = []
        self._timer: asyncio.TimerHandle | None = None

    def add(self, tags: Sequence[int]) -> None:
        """Acknowledge these soon; every lower tag of the channel is settled, open or added before."""
        self._tags += tags
        if len(self._tags) >= self._enough:
            self.flush()
        elif self._tags and self._timer is None:
            self._timer = self._loop.call_later(ACKNOWLEDGE_SECONDS, self.flush)

    def flush(self) -> None:
        """Acknowledge now what was added."""
        tags = sorted(self._tags)
        self.forget()
        for tag, multiple in acknowledgements(tags, self._open_tags):
            self._acknowledge(tag, multiple)

    def forget(self) -> None:
        """Acknowledge nothing more of what was added: the channel is lost, and with it every tag."""
        self._tags = []
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
