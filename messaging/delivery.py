"""Name what a consumer receives, and what it promises about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from messaging.envelope import Envelope


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event as the broker hands it out.

    Args:
        tag: The delivery tag; it means nothing outside the channel that it came through.
        queue: The queue it came from.
        attempt: Which delivery of this event this is, from 1. The broker counts whatever came back: a
            rejection, a closed channel, a lost connection, a dead worker.
        envelope: The event.
    """

    tag: int
    queue: str
    attempt: int
    envelope: Envelope


Process: TypeAlias = Callable[[Sequence[Delivery]], frozenset[int]]
"""What processes a batch: returns the tags to dead-letter, all others are to be acknowledged; what it
returns must be durable. Raises RetryLaterError to be called again with the same batch."""
