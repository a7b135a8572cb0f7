"""Decide when the old secret has fallen out of use, by what the edges have counted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(slots=True)
class Watch:
    """What was seen of two secrets since it began.

    Args:
        new: The id of the one that signs now.
        old: The id of the one that did.
        quiet: Seconds without anything under the old one that are long enough.
        since: When the last thing under it was seen, or the watch began; monotonic seconds.
    """

    new: str
    old: str
    quiet: float
    since: float
    _before: dict[str, int] = field(default_factory=dict)

    def is_over(self, edges: Mapping[str, Mapping[str, int]], now: float) -> bool:
        """Take a look: tell whether there is traffic under the new one and has been none under the old one.

        Args:
            edges: Of each process, what each secret has verified. One that is new here has counted from zero.
            now: Monotonic seconds.
        """
        counts = {name: each.get(self.old, 0) for name, each in edges.items()}
        if any(count > self._before.get(name, 0) for name, count in counts.items()):
            self.since = now
        self._before = counts
        return now - self.since >= self.quiet and any(each.get(self.new, 0) for each in edges.values())
