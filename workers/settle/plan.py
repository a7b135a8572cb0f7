"""Decide what a conversation's closed window amounts to: values in, values out.

Whatever the order in which a conversation's events arrive and are settled, the same state comes of them:
the newest update decides the routing, and of each message and update one outbox entry is made. Only which
entries are marked late depends on when they came.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from workers.parsing import CONVERSATION_MESSAGE, CONVERSATION_NEW, CONVERSATION_UPDATED

if TYPE_CHECKING:
    from collections.abc import Iterable

APPLIED: Final = "applied"
LATE: Final = "late"
SUPERSEDED: Final = "superseded"
UNDECIDED: Final = "undecided"


@dataclass(frozen=True, slots=True, order=True)
class Moment:
    """Where an event stands among those of its conversation: timestamp, sequence, arrival.

    Args:
        occurred_at_us: The platform's clock, microseconds since the epoch.
        sequence: The platform's number, 0 for none.
        received_at_us: Our clock, microseconds since the epoch.
        event_id: Its `processed_events.id`.
    """

    occurred_at_us: int
    sequence: int = 0
    received_at_us: int = 0
    event_id: int = 0

    def is_before(self, other: Moment | None) -> bool:
        """Tell whether this is older by the platform's own words; arrival alone makes nothing late."""
        if other is None:
            return False
        return (self.occurred_at_us, self.sequence) < (other.occurred_at_us, other.sequence)


@dataclass(frozen=True, slots=True)
class Pending:
    """An event that waits to be settled.

    Args:
        moment: Where it stands.
        routing_status: The routing status of an update; None: it is a message.
        routing_queue: The routing queue that an update names.
        platform_status: The platform's state when it was asked; None: it was not asked.
        verified: True: the platform agreed; False: applied without its answer; None: no platform was asked.
        since_us: When intake took an update, microseconds since the epoch, the database's clock.
    """

    moment: Moment
    routing_status: str | None = None
    routing_queue: str | None = None
    platform_status: str | None = None
    verified: bool | None = None
    since_us: int = 0


@dataclass(frozen=True, slots=True)
class Routing:
    """A conversation's routing as the newest applied update has it."""

    status: str | None = None
    queue: str | None = None
    changed: Moment | None = None


@dataclass(frozen=True, slots=True)
class Settled:
    """What of a conversation is settled.

    Args:
        through: The newest event settled so far.
        routing: The routing.
        has_session: Whether its session has gone to the outbox.
    """

    through: Moment | None = None
    routing: Routing = Routing()
    has_session: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """One row for the outbox.

    Args:
        event_type: What the services are told.
        occurred_at_us: The platform's clock, microseconds since the epoch.
        event_id: Whose payload goes with it; None for a session that nobody notified.
        late: Whether something newer of its conversation went before.
        verified: As `Pending.verified`.
    """

    event_type: str
    occurred_at_us: int
    event_id: int | None
    late: bool = False
    verified: bool | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of an update.

    Args:
        event_id: Which.
        word: APPLIED, LATE, SUPERSEDED or UNDECIDED.
        platform_status: The platform's state when it was asked; None: it was not asked.
        verified: As `Pending.verified`; False also of an update that the platform contradicted.
    """

    event_id: int
    word: str
    platform_status: str | None = None
    verified: bool | None = None


@dataclass(frozen=True, slots=True)
class Settlement:
    """What one transaction commits for one conversation."""

    state: Settled
    entries: tuple[Entry, ...]
    decisions: tuple[Decision, ...] = ()


def settle_window(state: Settled, pending: Iterable[Pending]) -> Settlement:
    """Settle events in their order.

    Args:
        state: What is settled so far.
        pending: Messages, and the updates that are to be applied, in any order.
    """
    entries: list[Entry] = []
    decisions: list[Decision] = []
    for each in sorted(pending, key=lambda each: each.moment):
        if not state.has_session:
            entries.append(Entry(CONVERSATION_NEW, each.moment.occurred_at_us, None))
            state = replace(state, has_session=True)
        if each.routing_status is None:
            entries.append(_entry_of(CONVERSATION_MESSAGE, each, state))
        else:
            word = LATE if each.moment.is_before(state.routing.changed) else APPLIED
            decisions.append(_decision(each, word))
            entries.append(_entry_of(CONVERSATION_UPDATED, each, state))
            state = _routed(state, each)
        state = _through(state, each)
    return Settlement(state, tuple(entries), tuple(decisions))


def fitting(waiting: Iterable[int], most: int) -> int:
    """Return how many conversations to settle together: one at least, then while their events are few enough.

    Args:
        waiting: How many events wait in each, in their order.
        most: Events of all together.
    """
    totals = list(accumulate(waiting))
    return max(1, sum(total <= most for total in totals)) if totals else 0


def _entry_of(event_type: str, each: Pending, state: Settled) -> Entry:
    moment = each.moment
    is_late = moment.is_before(state.through)
    return Entry(event_type, moment.occurred_at_us, moment.event_id, late=is_late, verified=each.verified)


def _decision(update: Pending, word: str) -> Decision:
    return Decision(update.moment.event_id, word, update.platform_status, update.verified)


def _routed(state: Settled, update: Pending) -> Settled:
    """Let the newest update decide, whichever comes first; of two of one moment their content decides."""
    routing = Routing(update.routing_status, update.routing_queue, update.moment)
    return state if _rank(routing) < _rank(state.routing) else replace(state, routing=routing)


def _rank(routing: Routing) -> tuple[int, int, str, str]:
    if routing.changed is None:
        return (-1, 0, "", "")
    return (
        routing.changed.occurred_at_us,
        routing.changed.sequence,
        routing.status or "",
        routing.queue or "",
    )


def _through(state: Settled, each: Pending) -> Settled:
    return state if each.moment.is_before(state.through) else replace(state, through=each.moment)
