"""Find the first waiting delivery of each conversation, and park those that wait behind it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from sqlalchemy import select, update

from workers.db.engine import BulkStatement, column_kinds
from workers.db.models import deliveries
from workers.parsing import moment_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

WALK_SHARE: Final = 4
MAX_WALK: Final = 1_000
"""How many due deliveries are looked at, four times as many each time, to find the first ones of as many
conversations as wanted. If that does not suffice, those that wait behind another are in the way: they are
parked."""

PARKED: Final = datetime(9999, 1, 1, tzinfo=UTC)
"""The due time of a delivery that waits behind another of its conversation, and shall not be looked at before
that has ended. Only the process that holds the lock of the first one parks, and whoever finishes the first
one recalls the next, in the same transaction: so no conversation is left with a parked first delivery."""

_D: Final = deliveries.c
# IS TRUE: no partial index may offer itself, by which all of a backlog would be compared with each row.
WAITS: Final = _D.outcome.is_(None).is_(True)

_OF_CONVERSATION: Final = """
    FROM deliveries w WHERE w.destination = {destination} AND w.outcome IS NULL
        AND w.conversation_id >= {conversation_id} AND w.conversation_id <= {conversation_id}
    ORDER BY w.conversation_id, w.outbox_id LIMIT 1"""
# A range, not "=": the primary key has the order of the ids as well, and PostgreSQL would read it from its
# beginning if many of its rows are of the conversation.
_FIRST: Final = BulkStatement(
    f"SELECT {{conversation_id}}, (SELECT w.outbox_id {_OF_CONVERSATION}) FROM {{rows}}",  # noqa: S608  # ours
    column_kinds(deliveries, "destination", "conversation_id"),
)
_PARKED_FIRST: Final = BulkStatement(
    f"""SELECT {{destination}}, (SELECT CASE WHEN w.due_at > '9000-01-01' THEN w.outbox_id END
        {_OF_CONVERSATION}) FROM {{rows}}""",  # noqa: S608  # ours
    column_kinds(deliveries, "destination", "conversation_id"),
)


class Due(NamedTuple):
    """A delivery that is due, and the first one that waits in its conversation."""

    outbox_id: int
    head_id: int


def recall_parked(connection: Connection, conversations: Sequence[tuple[str, str]], now_us: int) -> None:
    """Let the first waiting delivery of conversations be due, if it is parked.

    Args:
        connection: In the transaction that ended what came before it.
        conversations: Destination and conversation id.
        now_us: The database's clock, microseconds since the epoch.
    """
    if not conversations:
        return
    for destination, outbox_id in _PARKED_FIRST.execute(connection, conversations):
        if outbox_id is not None:
            first = (_D.destination == destination) & (_D.outbox_id == outbox_id) & (_D.due_at == PARKED)
            connection.execute(update(deliveries).where(first).values(due_at=moment_of(now_us)))


def find_heads(connection: Connection, destination: str, now_us: int, limit: int) -> list[Due]:
    """Return due deliveries, *limit* of which come first in their conversations if there are as many."""
    most = WALK_SHARE * limit
    while True:
        found = _walk(connection, destination, now_us, most)
        if len(found) < most or sum(row.outbox_id == row.head_id for row in found) >= limit:
            return found
        if most >= MAX_WALK:
            _park(connection, destination, found)
            return found
        most *= WALK_SHARE


def _walk(connection: Connection, destination: str, now_us: int, most: int) -> list[Due]:
    """Return deliveries in the order in which they became due, each with the first of its conversation."""
    query = (
        select(_D.conversation_id, _D.outbox_id)
        .where(_D.destination == destination, _D.outcome.is_(None), _D.due_at <= moment_of(now_us))
        .order_by(_D.due_at)
        .limit(most)
    )
    due = [(row[0], row[1]) for row in connection.execute(query)]
    if not due:
        return []
    conversations = [
        (destination, conversation_id) for conversation_id in dict.fromkeys(row[0] for row in due)
    ]
    heads: dict[str, int] = {row[0]: row[1] for row in _FIRST.execute(connection, conversations)}
    return [Due(outbox_id, heads[conversation_id]) for conversation_id, outbox_id in due]


def _park(connection: Connection, destination: str, found: Sequence[Due]) -> None:
    """Park the deliveries that wait behind another, as far as no other process works on that one."""
    heads = {row.head_id for row in found if row.outbox_id != row.head_id}
    locked = {row[0] for row in lock(connection, destination, sorted(heads), None)}
    behind = [row.outbox_id for row in found if row.outbox_id != row.head_id and row.head_id in locked]
    park = update(deliveries).where(_D.destination == destination, WAITS, _D.outbox_id.in_(behind))
    connection.execute(park.values(due_at=PARKED))


def lock(
    connection: Connection, destination: str, outbox_ids: Sequence[int], due_us: int | None
) -> list[tuple[int, str, str]]:
    """Lock waiting deliveries; return outbox id, destination and conversation of those that could be."""
    query = (
        select(_D.outbox_id, _D.destination, _D.conversation_id)
        .where(_D.destination == destination, WAITS, _D.outbox_id.in_(outbox_ids))
        .order_by(_D.due_at)
        .with_for_update(skip_locked=True)
    )
    if due_us is not None:
        query = query.where(_D.due_at <= moment_of(due_us))
    return [(row[0], row[1], row[2]) for row in connection.execute(query)]
