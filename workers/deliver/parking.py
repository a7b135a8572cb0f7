"""Find the first waiting delivery of each conversation, and park those that wait behind it."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, select, update

from workers.db.engine import BulkStatement, column_kinds
from workers.db.models import deliveries
from workers.parsing import moment_of

WALK_SHARE: Final = 4
MAX_WALK: Final = 1_000
"""The search for the first deliveries of enough conversations reads four due deliveries for each of them,
then four times as many each time, until it reads about this number. If it still finds too few, deliveries
that wait behind another are parked."""

PARKED: Final = datetime(9999, 1, 1, tzinfo=UTC)
"""The due time of a delivery that waits behind another of its conversation and is not read before that one
has ended. Only the process that locks the first delivery parks the others, and the process that ends the
first recalls the next in the same transaction. So no conversation is left with a parked first delivery."""

_D: Final = deliveries.c

# IS TRUE keeps the planner from using a partial index, which would compare a whole backlog with each row.
WAITS: Final = _D.outcome.is_(None).is_(True)

OF_CONVERSATION: Final = """
    FROM deliveries w WHERE w.destination = {destination} AND w.outcome IS NULL
        AND w.conversation_id >= {conversation_id} AND w.conversation_id <= {conversation_id}"""
# A range, not "=": the primary key is also in the order of the ids, and PostgreSQL would read it from its
# beginning if many rows belong to the conversation.
IN_ORDER: Final = "ORDER BY w.conversation_id, w.outbox_id LIMIT"
_KINDS: Final = column_kinds(deliveries, "destination", "conversation_id")
_FIRST: Final = BulkStatement(
    f"SELECT {{conversation_id}}, (SELECT w.outbox_id {OF_CONVERSATION} {IN_ORDER} 1) FROM {{rows}}",  # noqa: S608  # ours
    _KINDS,
)
_PARKED_FIRST: Final = BulkStatement(
    f"""SELECT {{destination}}, (SELECT CASE WHEN w.due_at > '9000-01-01' THEN w.outbox_id END
        {OF_CONVERSATION} {IN_ORDER} 1) FROM {{rows}}""",  # noqa: S608  # ours
    _KINDS,
)


def find_first(
    connection: Connection, destination: str, now_us: int, conversations: int
) -> list[tuple[int, int]]:
    """Return due deliveries, each with the first waiting delivery of its conversation.

    They include the first deliveries of up to *conversations* conversations, if that many are found.
    """
    count = WALK_SHARE * conversations
    while True:
        found = _walk(connection, destination, now_us, count)
        if len(found) < count or sum(outbox_id == first for outbox_id, first in found) >= conversations:
            return found
        if count >= MAX_WALK:
            _park(connection, destination, found)
            return found
        count *= WALK_SHARE


def lock(
    connection: Connection, destination: str, outbox_ids: Sequence[int], due_us: int | None = None
) -> list[Row[Any]]:
    """Lock waiting deliveries that are due by *due_us*; return the ids of those that could be locked."""
    query = (
        select(_D.outbox_id, _D.conversation_id)
        .where(_D.destination == destination, WAITS, _D.outbox_id.in_(outbox_ids))
        .order_by(_D.due_at)
        .with_for_update(skip_locked=True)
    )
    if due_us is not None:
        query = query.where(_D.due_at <= moment_of(due_us))
    return list(connection.execute(query))


def recall_parked(connection: Connection, conversations: Iterable[tuple[str, str]], now_us: int) -> None:
    """Make the first waiting delivery of each conversation due if it is parked.

    Called with destinations and conversation ids, in the transaction that ended the deliveries before.
    """
    rows = sorted(set(conversations))
    for destination, outbox_id in _PARKED_FIRST.execute(connection, rows) if rows else ():
        if outbox_id is not None:
            first = (_D.destination == destination) & (_D.outbox_id == outbox_id) & (_D.due_at == PARKED)
            connection.execute(update(deliveries).where(first).values(due_at=moment_of(now_us)))


def _walk(connection: Connection, destination: str, now_us: int, count: int) -> list[tuple[int, int]]:
    """Return deliveries in the order in which they became due, each with the first of its conversation."""
    query = (
        select(_D.conversation_id, _D.outbox_id)
        .where(_D.destination == destination, _D.outcome.is_(None), _D.due_at <= moment_of(now_us))
        .order_by(_D.due_at)
        .limit(count)
    )
    due = [(row[0], row[1]) for row in connection.execute(query)]
    if not due:
        return []
    conversations = dict.fromkeys(row[0] for row in due)
    rows = _FIRST.execute(connection, [(destination, conversation_id) for conversation_id in conversations])
    first: dict[str, int] = {row[0]: row[1] for row in rows}
    return [(outbox_id, first[conversation_id]) for conversation_id, outbox_id in due]


def _park(connection: Connection, destination: str, found: Sequence[tuple[int, int]]) -> None:
    """Park the deliveries that wait behind another, unless another process works on that one."""
    behind = [(outbox_id, first) for outbox_id, first in found if outbox_id != first]
    locked = {row.outbox_id for row in lock(connection, destination, sorted({row[1] for row in behind}))}
    ids = [outbox_id for outbox_id, first in behind if first in locked]
    park = update(deliveries).where(_D.destination == destination, WAITS, _D.outbox_id.in_(ids))
    connection.execute(park.values(due_at=PARKED))
