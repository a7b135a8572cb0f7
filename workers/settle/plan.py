"""Decide what a conversation's closed window amounts to: values in, values out.

In whatever order a conversation's events arrive and are settled, the state is the same in the end: the newest
update decides the routing, and each message and update makes one outbox entry. Only which entries are marked
late depends on when they came.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Final

from workers.parsing import CONVERSATION_MESSAGE, CONVERSATION_NEW, CONVERSATION_UPDATED

APPLIED: Final = "applied"
LATE: Final = "late"
SUPERSEDED: Final = "superseded"
UNDECIDED: Final = "undecided"


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """An event's place among those of its conversation: the platform's time and number, then arrival."""

    occurred_at_us: int
    sequence: int = 0
    received_at_us: int = 0
    event_id: int = 0

    def is_before(self, other: Position | None) -> bool:
        """Return whether this is older by the platform's data; arrival alone makes nothing late."""
        ours = (self.occurred_at_us, self.sequence)
        return other is not None and ours < (other.occurred_at_us, other.sequence)


@dataclass(frozen=True, slots=True)
class PendingEvent:
    """An event that waits to be settled: a message, or an update, which has a routing status.

    Args:
        platform_status: The platform's state when it was asked; None: it was not asked.
        verified: True: the platform agreed; False: it contradicted, or the update was applied without its
            answer; None: no platform was asked.
        since_us: When intake took an update, the database's clock.
    """

    position: Position
    routing_status: str | None = None
    routing_queue: str | None = None
    platform_status: str | None = None
    verified: bool | None = None
    since_us: int = 0


@dataclass(frozen=True, slots=True)
class Routing:
    """A conversation's routing according to the newest applied update."""

    status: str | None = None
    queue: str | None = None
    changed: Position | None = None


@dataclass(frozen=True, slots=True)
class SettledState:
    """A conversation's settled state: its newest settled event, routing, whether its session was sent."""

    through: Position | None = None
    routing: Routing = Routing()
    has_session: bool = False


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """One row for the outbox; without an event it is a session that had no notification."""

    event_type: str
    occurred_at_us: int
    event_id: int | None
    late: bool = False
    verified: bool | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision on an update: APPLIED, LATE, SUPERSEDED or UNDECIDED."""

    update: PendingEvent
    kind: str


@dataclass(frozen=True, slots=True)
class Settlement:
    """What one transaction commits for one conversation."""

    state: SettledState
    entries: tuple[OutboxEntry, ...]
    decisions: tuple[Decision, ...] = ()


def settle_window(state: SettledState, pending: Iterable[PendingEvent]) -> Settlement:
    """Settle messages, and updates that are to be applied, in the order of their positions."""
    entries: list[OutboxEntry] = []
    decisions: list[Decision] = []
    for event in sorted(pending, key=lambda event: event.position):
        position = event.position
        if not state.has_session:
            entries.append(OutboxEntry(CONVERSATION_NEW, position.occurred_at_us, None))
            state = replace(state, has_session=True)
        event_type = CONVERSATION_MESSAGE if event.routing_status is None else CONVERSATION_UPDATED
        is_late = position.is_before(state.through)
        entries.append(
            OutboxEntry(event_type, position.occurred_at_us, position.event_id, is_late, event.verified)
        )
        if event.routing_status is not None:
            kind = LATE if position.is_before(state.routing.changed) else APPLIED
            decisions.append(Decision(event, kind))
            state = _apply_routing(state, event)
        if not is_late:
            state = replace(state, through=position)
    return Settlement(state, tuple(entries), tuple(decisions))


def count_fitting(waiting: Iterable[int], max_events: int) -> int:
    """Return how many conversations to settle together: at least one, or as many as have *max_events*."""
    totals = list(accumulate(waiting))
    return max(1, sum(total <= max_events for total in totals)) if totals else 0


def _apply_routing(state: SettledState, update: PendingEvent) -> SettledState:
    """Let the newest update decide, in whatever order they arrive; of two at one time, by their content."""
    routing = Routing(update.routing_status, update.routing_queue, update.position)
    return state if _rank(routing) < _rank(state.routing) else replace(state, routing=routing)


def _rank(routing: Routing) -> tuple[int, int, str, str]:
    changed = routing.changed or Position(-1)
    return (changed.occurred_at_us, changed.sequence, routing.status or "", routing.queue or "")
