"""Have deliveries that were given up sent again, under the ids that they had."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, select, tuple_, update

from workers.db.models import dead_letters, deliveries, outbox
from workers.deliver.dead_letters import letter_id
from workers.deliver.message import webhook_id_of
from workers.deliver.outcomes import DEAD
from workers.parsing import microseconds_of, moment_of

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection

AT_ONCE: Final = 500
"""Deliveries of one transaction: deliver processes have their turn between two."""

_D: Final = deliveries.c


@dataclass(frozen=True, slots=True)
class DeadChoice:
    """Which given-up deliveries; what is None does not matter.

    Args:
        destinations: For one of these.
        before: Given up before, so that what is given up once more is not chosen again.
        since: Given up then or later.
        conversation: Of this conversation.
    """

    destinations: tuple[str, ...]
    before: datetime
    since: datetime | None = None
    conversation: str | None = None

    def condition(self) -> ColumnElement[bool]:
        """Return it for a query."""
        chosen = (_D.outcome == DEAD) & _D.destination.in_(self.destinations) & (_D.finished_at < self.before)
        if self.since is not None:
            chosen &= _D.finished_at >= self.since
        if self.conversation is not None:
            chosen &= _D.conversation_id == self.conversation
        return chosen


def count_dead(connection: Connection, choice: DeadChoice) -> dict[str, int]:
    """Return how many are chosen, by destination."""
    query = select(_D.destination, func.count()).where(choice.condition()).group_by(_D.destination)
    return {row[0]: row[1] for row in connection.execute(query.order_by(_D.destination))}


def resend(connection: Connection, choice: DeadChoice, intervention_id: str, now_us: int) -> int:
    """Let some wait to be delivered again, the oldest of each conversation first; return how many it were.

    Args:
        connection: In a transaction.
        choice: Which; call again until it returns 0.
        intervention_id: On record already.
        now_us: Our clock, microseconds since the epoch.
    """
    some = (
        select(_D.outbox_id, _D.destination, outbox.c.created_at)
        .join(outbox, outbox.c.id == _D.outbox_id)
        .where(choice.condition())
        .order_by(_D.outbox_id, _D.destination)
        .limit(AT_ONCE)
        .with_for_update(of=deliveries)
    )
    rows = list(connection.execute(some))
    if not rows:
        return 0
    connection.execute(
        update(deliveries)
        .where(tuple_(_D.outbox_id, _D.destination).in_([(row.outbox_id, row.destination) for row in rows]))
        .values(
            outcome=None,
            attempts=0,
            first_attempt_at=None,
            refused_at=None,
            finished_at=None,
            dead_lettered_at=None,
            due_at=moment_of(now_us),
        )
    )
    # Their letters stay in the queue; the record says what became of them.
    decided = update(dead_letters).where(dead_letters.c.message_id.in_([_letter_of(row) for row in rows]))
    connection.execute(decided.values(intervention_id=intervention_id, decided_at=moment_of(now_us)))
    return len(rows)


def _letter_of(row: Any) -> str:
    return letter_id(row.destination, webhook_id_of(row.outbox_id, microseconds_of(row.created_at)))
