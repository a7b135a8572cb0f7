"""Decide the outcome of a conversation's closed window; these functions have no side effects.

The final state does not depend on the order in which a conversation's events arrive and are settled: the
newest update determines the routing, and each message and update creates one outbox entry. The order of
arrival affects only which entries are marked late.
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
    """An event's position in its conversation: by the platform's time and sequence, then by arrival."""

    occurred_at_us: int
    sequence: int = 0
    received_at_us: int = 0
    event_id: int = 0

    def is_before(self, other: Position | None) -> bool:
        """Return whether this time and sequence are earlier than those of *other*; ignore the arrival."""
        ours = (self.occurred_at_us, self.sequence)
        return other is not None and ours < (other.occurred_at_us, other.sequence)


@dataclass(frozen=True, slots=True)
class PendingEvent:
    """An event waiting to be settled: an update if it has a routing status, otherwise a message.

    Args:
        platform_status: The state that the platform returned; None if the platform was not queried.
        verified: True if the platform confirmed the update; False if the platform contradicted it, or if the
            update was applied without confirmation; None if no platform is configured.
        since_us: When intake stored the update, by the database's clock.
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
    """A conversation's settled state: its newest settled event, its routing, and whether it has a session."""

    through: Position | None = None
    routing: Routing = Routing()
    has_session: bool = False


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """One row for the outbox. A row without an event opens a session whose start no webhook reported."""

    event_type: str
    occurred_at_us: int
    event_id: int | None
    late: bool = False
    verified: bool | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision on a routing update; *kind* is APPLIED, LATE, SUPERSEDED or UNDECIDED."""

    update: PendingEvent
    kind: str


@dataclass(frozen=True, slots=True)
class SettledWindow:
    """The changes that one transaction commits for one conversation."""

    state: SettledState
    entries: tuple[OutboxEntry, ...]
    decisions: tuple[Decision, ...] = ()


def settle_window(state: SettledState, pending: Iterable[PendingEvent]) -> SettledWindow:
    """Settle messages and the updates to apply, in the order of their positions; return the changes."""
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
    return SettledWindow(state, tuple(entries), tuple(decisions))


def count_fitting(waiting: Iterable[int], max_events: int) -> int:
    """Return how many conversations, from the first on, together have at most *max_events*; at least 1."""
    totals = list(accumulate(waiting))
    return max(1, sum(total <= max_events for total in totals)) if totals else 0


def _apply_routing(state: SettledState, update: PendingEvent) -> SettledState:
    """Apply an update if it is the newest by time and sequence; if both are equal, the content decides."""
    routing = Routing(update.routing_status, update.routing_queue, update.position)
    return state if _rank(routing) < _rank(state.routing) else replace(state, routing=routing)


def _rank(routing: Routing) -> tuple[int, int, str, str]:
    changed = routing.changed or Position(-1)
    return (changed.occurred_at_us, changed.sequence, routing.status or "", routing.queue or "")
