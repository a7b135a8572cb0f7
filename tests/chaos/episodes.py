"""Find the periods in which the edge answered with 429, and judge the Retry-After of those answers."""

from __future__ import annotations

import itertools
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.stand.records import Tried

SAME_SECONDS = 0.5
"""An episode ends when the edge has accepted requests for this number of seconds without a 429.

The edge's two processes can disagree for a moment: one accepts requests while the other refuses them.
"""


@dataclass(frozen=True, slots=True)
class Episode:
    """A period of refusals, from its first 429 to the first 200 after its last 429, in monotonic seconds."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        """The duration of the episode in seconds."""
        return self.end - self.start


def episodes_of(replies: Iterable[Tried]) -> list[Episode]:
    """Return all episodes that have ended, oldest first."""
    ordered = sorted(replies, key=lambda reply: reply.ended)
    found: list[Episode] = []
    start: float | None = None
    ended = 0.0
    for reply in ordered:
        if reply.status == 429:
            start = reply.ended if start is None else start
            ended = 0.0
        elif start is not None and reply.status == 200:
            ended = ended or reply.ended
            if reply.ended - ended > SAME_SECONDS:
                found.append(Episode(start, ended))
                start = None
    return found


def excess_of(replies: Iterable[Tried], episodes: Sequence[Episode]) -> float:
    """Return the median ratio of a 429's Retry-After to the time from that answer to the episode's end."""
    ratios = [
        reply.retry_after / max(1.0, episode.end - reply.ended)
        for reply in replies
        if reply.status == 429 and reply.retry_after
        for episode in episodes
        if episode.start <= reply.ended < episode.end
    ]
    return statistics.median(ratios)


def accepted_between(replies: Iterable[Tried], episodes: Sequence[Episode]) -> list[int]:
    """Return the number of events that were accepted between each pair of consecutive episodes."""
    accepted = [reply.ended for reply in replies if reply.status == 200]
    return [
        sum(earlier.end <= at < later.start for at in accepted)
        for earlier, later in itertools.pairwise(episodes)
    ]
