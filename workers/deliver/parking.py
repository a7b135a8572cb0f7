"""Find each conversation's first waiting delivery, and park the deliveries behind it."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, select, update

from workers.db.engine import BulkStatement, column_kinds
from workers.db.models import deliveries
from workers.parsing import moment_of

WALK_SHARE: Final = 4
MAX_WALK: Final = 1_000
"""To find the first deliveries of enough conversations, the search reads due deliveries: four for each wanted
conversation, then four times as many in each further round, until it has read MAX_WALK or more. If too few
first deliveries are found, the search parks the deliveries that wait behind another delivery."""

PARKED: Final = datetime(9999, 1, 1, tzinfo=UTC)
"""The due time of a parked delivery, which is not read until an earlier delivery of its conversation ends.
Deliveries are parked only by the process that has locked the conversation's first delivery. The process that
ends the first delivery recalls the next one in the same transaction, so no first delivery stays parked."""

_D: Final = deliveries.c

# IS TRUE stops PostgreSQL from using a partial index, which would make it read the whole backlog.
WAITS: Final = _D.outcome.is_(None).is_(True)

# SQLAlchemy computes a statement's cache key only once if the statement is kept.
_DUE: Final = (
    select(_D.conversation_id, _D.outbox_id)
    .where(_D.destination == bindparam("name"), _D.outcome.is_(None), _D.due_at <= bindparam("due"))
    .order_by(_D.due_at)
    .limit(bindparam("most"))
)
_LOCK: Final = (
    select(_D.outbox_id, _D.conversation_id)
    .where(_D.destination == bindparam("name"), WAITS, _D.outbox_id.in_(bindparam("ids", expanding=True)))
    .where(_D.due_at <= bindparam("due"))
    .order_by(_D.due_at)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)

OF_CONVERSATION: Final = """
    FROM deliveries w WHERE w.destination = {destination} AND w.outcome IS NULL
        AND w.conversation_id >= {conversation_id} AND w.conversation_id <= {conversation_id}"""
# OF_CONVERSATION uses a range: with "=", PostgreSQL might scan the primary key's index, which has the same
# order, from its beginning if the conversation has many rows.
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
    """Return the ids of due deliveries, each with the id of its conversation's first waiting delivery.

    The list includes the first deliveries of at least *conversations* conversations, if that many are found.
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
    connection: Connection,
    destination: str,
    outbox_ids: Sequence[int],
    due_us: int | None = None,
    most: int | None = None,
) -> list[Row[Any]]:
    """Lock and return at most *most* waiting deliveries that are due by *due_us* and not locked elsewhere."""
    due = PARKED if due_us is None else moment_of(due_us)
    values = {"name": destination, "ids": outbox_ids, "due": due, "most": most or len(outbox_ids)}
    return list(connection.execute(_LOCK, values))


def recall_parked(connection: Connection, conversations: Iterable[tuple[str, str]], now_us: int) -> None:
    """Make each conversation's first waiting delivery due if it is parked.

    *conversations* contains pairs of destination and id. Call this in the transaction that ends deliveries.
    """
    rows = sorted(set(conversations))
    for destination, outbox_id in _PARKED_FIRST.execute(connection, rows) if rows else ():
        if outbox_id is not None:
            first = (_D.destination == destination) & (_D.outbox_id == outbox_id) & (_D.due_at == PARKED)
            connection.execute(update(deliveries).where(first).values(due_at=moment_of(now_us)))


def _walk(connection: Connection, destination: str, now_us: int, count: int) -> list[tuple[int, int]]:
    """Return the oldest due deliveries, each with the first waiting delivery of its conversation."""
    values = {"name": destination, "due": moment_of(now_us), "most": count}
    due = [(row[0], row[1]) for row in connection.execute(_DUE, values)]
    if not due:
        return []
    conversations = dict.fromkeys(row[0] for row in due)
    rows = _FIRST.execute(connection, [(destination, conversation_id) for conversation_id in conversations])
    first: dict[str, int] = {row[0]: row[1] for row in rows}
    return [(outbox_id, first[conversation_id]) for conversation_id, outbox_id in due]


def _park(connection: Connection, destination: str, found: Sequence[tuple[int, int]]) -> None:
    """Park each delivery that is not its conversation's first, unless another process has locked that one."""
    behind = [(outbox_id, first) for outbox_id, first in found if outbox_id != first]
    locked = {row.outbox_id for row in lock(connection, destination, sorted({row[1] for row in behind}))}
    ids = [outbox_id for outbox_id, first in behind if first in locked]
    park = update(deliveries).where(_D.destination == destination, WAITS, _D.outbox_id.in_(ids))
    connection.execute(park.values(due_at=PARKED))
