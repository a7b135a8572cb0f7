"""List the tables whose rows expire, and delete their old rows a page at a time."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Table,
    and_,
    bindparam,
    delete,
    exists,
    func,
    literal_column,
    or_,
    select,
    true,
    tuple_,
)

from workers.db.models import (
    UtcDateTime,
    conversation_messages,
    conversations,
    deliveries,
    discarded_dead_letters,
    duplicate_events,
    edge_statistics,
    event_payloads,
    failed_receipts,
    message_receipts,
    outbox,
    platform_conversations,
    processed_events,
    reconciliation_gaps,
    reconciliations,
    routing_updates,
    unstored_events,
)
from workers.db.reconcile import TIMER

START: Final = object()
"""The place before the first row."""

OLDER_THAN: Final = bindparam("older_than", type_=UtcDateTime())
"""The time before which rows expire; a table's conditions may use it."""


@dataclass(frozen=True, slots=True)
class DeletedPage:
    """How many rows of a page were deleted, and the key of its last row; None if no old row can follow."""

    deleted: int
    end: Any


@dataclass(frozen=True, slots=True)
class ExpiringTable:
    """A table whose rows expire, with the rows of other tables that depend on them.

    Args:
        is_done: What must hold for a row to go, beside its age since *since*.
        dependent: Columns of other tables that hold the key.
        rises: The time that rises with the key: a page that is too young by it is the last. It never changes,
            as *since* may. Without it the table is read to its end.
    """

    table: Table
    since: ColumnElement[Any]
    is_done: ColumnElement[bool] = field(default_factory=true)
    dependent: tuple[Column[Any], ...] = ()
    rises: Column[Any] | None = None

    def count(self, connection: Connection, older_than: datetime) -> int:
        """Return how many rows have expired."""
        query = select(func.count()).select_from(self.table).where(self.since < OLDER_THAN, self.is_done)
        return int(connection.execute(query, {OLDER_THAN.key: older_than}).scalar_one())

    def delete(self, connection: Connection, older_than: datetime, page_rows: int, after: Any) -> DeletedPage:
        """Delete the expired ones among the next rows by key, with their dependents.

        They follow *after*, which is START or the end of the page before. A row that a worker has locked is
        left for another day: neither waits for the other.
        """
        columns, bound = tuple(self.table.primary_key), {OLDER_THAN.key: older_than}
        key: Any = tuple_(*columns) if len(columns) > 1 else columns[0]
        is_early = true() if self.rises is None else self.rises < OLDER_THAN
        conditions = ((self.since < OLDER_THAN).label("is_old"), is_early.label("is_early"))
        page = select(*columns, *conditions).order_by(*columns).limit(page_rows)
        rows = connection.execute(page if after is START else page.where(key > after), bound).all()
        if not any(row.is_early for row in rows):
            return DeletedPage(0, None)
        keys = [row[0] if len(columns) == 1 else tuple(row[:-2]) for row in rows]
        old = [found for found, row in zip(keys, rows, strict=True) if row.is_old]
        expired = select(*columns).where(and_(key.in_(old), self.is_done, self.since < OLDER_THAN))
        locked = connection.execute(
            expired.order_by(*columns).with_for_update(skip_locked=True, of=self.table), bound
        )
        going = [row[0] if len(columns) == 1 else tuple(row) for row in locked]
        for column in self.dependent:
            connection.execute(delete(column.table).where(column.in_(going)))
        connection.execute(delete(self.table).where(key.in_(going)))
        return DeletedPage(len(going), keys[-1])


_C: Final = conversations.c
_D: Final = deliveries.c
_E: Final = processed_events.c
_P: Final = event_payloads.c
_R: Final = reconciliations.c

# A dead letter holds the body, so a delivery that was given up waits as well until it is published.
_WAITS: Final = or_(
    _D.outcome.is_(None), and_(_D.outcome == literal_column("'dead'"), _D.dead_lettered_at.is_(None))
)
_HAS_OPEN_WINDOW: Final = and_(_C.conversation_id == _E.conversation_id, _C.window_opened_at.is_not(None))
_IS_UNDECIDED: Final = routing_updates.c.decision.is_(None)
# There is no index by event; a conversation's entries are few.
_IS_IN_OUTBOX: Final = and_(outbox.c.conversation_id == _E.conversation_id, outbox.c.event_id == _E.id)
_STAYS_IN_OUTBOX: Final = or_(
    outbox.c.created_at >= OLDER_THAN, exists().where(_D.outbox_id == outbox.c.id, _WAITS)
)

PAYLOADS: Final = ExpiringTable(
    event_payloads,
    since=_P.stored_at,
    # An event that is still to be delivered is sent with its body, and is not known before it is settled.
    is_done=and_(
        ~exists().where(_E.id == _P.event_id, _HAS_OPEN_WINDOW),
        ~exists().where(routing_updates.c.event_id == _P.event_id, _IS_UNDECIDED),
        ~exists().where(_E.id == _P.event_id, _IS_IN_OUTBOX, _D.outbox_id == outbox.c.id, _WAITS),
    ),
    rises=_P.stored_at,
)
OUTBOX: Final = ExpiringTable(
    outbox,
    since=outbox.c.created_at,
    is_done=~exists().where(_D.outbox_id == outbox.c.id, _WAITS),
    dependent=(_D.outbox_id,),
    rises=outbox.c.created_at,
)
EVENTS: Final = ExpiringTable(
    processed_events,
    # From the last copy on: as long as copies come, the key that refuses them stays.
    since=func.coalesce(_E.last_delivered_at, _E.processed_at),
    # An event that is not settled yet is not history, however long the settling is away. Nor is one that the
    # outbox names: no table's row outlives its event, since SQLite reuses the highest id when it is free.
    is_done=and_(
        ~exists().where(_HAS_OPEN_WINDOW),
        ~exists().where(routing_updates.c.event_id == _E.id, _IS_UNDECIDED),
        ~exists().where(_IS_IN_OUTBOX, _STAYS_IN_OUTBOX),
    ),
    dependent=(
        _P.event_id,
        duplicate_events.c.event_id,
        conversation_messages.c.event_id,
        message_receipts.c.event_id,
        routing_updates.c.event_id,
        failed_receipts.c.event_id,
    ),
    rises=_E.processed_at,
)
CONVERSATIONS: Final = ExpiringTable(
    conversations,
    since=_C.updated_at,
    is_done=and_(
        _C.window_opened_at.is_(None),
        # Events outlast their conversation's last change if copies came, an update waits, or the outbox
        # names them. Without its row, what is settled of them would be settled again, and the update never.
        ~exists().where(_E.conversation_id == _C.conversation_id, _E.last_delivered_at > _C.updated_at),
        ~exists().where(routing_updates.c.conversation_id == _C.conversation_id, _IS_UNDECIDED),
        ~exists().where(outbox.c.conversation_id == _C.conversation_id, _STAYS_IN_OUTBOX),
    ),
)
RECONCILIATIONS: Final = ExpiringTable(
    reconciliations,
    _R.started_at,
    # One that is under way stays; the newest of the timer's holds the watermark, however long none follows.
    is_done=and_(
        or_(_R.started_by != TIMER, _R.finished_at.is_not(None)),
        _R.id != select(func.coalesce(func.max(_R.id), 0)).where(_R.started_by == TIMER).scalar_subquery(),
    ),
)

BODY_TABLES: Final = (
    PAYLOADS,
    ExpiringTable(duplicate_events, duplicate_events.c.last_seen_at),
    ExpiringTable(discarded_dead_letters, discarded_dead_letters.c.discarded_at),
)
"""Tables of raw bodies."""

EVENT_TABLES: Final = (
    # Events go once the outbox does not name them any more.
    OUTBOX,
    EVENTS,
    CONVERSATIONS,
    # A conversation that is compared is read; one that comes up again is compared anew.
    ExpiringTable(
        platform_conversations,
        func.coalesce(platform_conversations.c.read_at, platform_conversations.c.listed_at),
    ),
    ExpiringTable(reconciliation_gaps, reconciliation_gaps.c.published_at),
    RECONCILIATIONS,
    ExpiringTable(unstored_events, unstored_events.c.day),
    ExpiringTable(edge_statistics, edge_statistics.c.began_at),
)
"""Tables of events and all that depends on them."""
