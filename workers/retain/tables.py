"""List the tables whose rows expire, and delete their old rows page by page."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Column, ColumnElement, Connection, and_, exists, func, or_, select

from workers.db import models
from workers.db.engine import transact
from workers.db.reconcile import TIMER

OLDER_THAN: Final = sa.bindparam("older_than", type_=models.UtcDateTime())
"""SQL parameter: rows that are older than this time expire. A table's conditions can contain it."""


@dataclass(frozen=True, slots=True)
class ExpiringTable:
    """A table whose rows expire, with the rows of other tables that depend on them.

    Args:
        since: The time from which a row's age is measured. It can change when another copy arrives.
        is_done: The condition that a row must meet to be deleted, in addition to its age.
        dependent: Columns of other tables that contain this table's key; their rows are deleted too.
        rises: A time that grows with the key and never changes. Reading stops at the first page whose times
            are all too recent. If *rises* is None, the table is read to its end.
    """

    table: sa.Table
    since: ColumnElement[Any]
    is_done: ColumnElement[bool] = field(default_factory=sa.true)
    dependent: tuple[Column[Any], ...] = ()
    rises: Column[Any] | None = None

    def count(self, connection: Connection, older_than: datetime) -> int:
        """Return how many rows have expired."""
        query = select(func.count()).select_from(self.table).where(self.since < OLDER_THAN, self.is_done)
        return int(connection.execute(query, {OLDER_THAN.key: older_than}).scalar_one())

    def delete(self, engine: sa.Engine, older_than: datetime, page_rows: int) -> Iterator[int]:
        """Delete expired rows and their dependent rows in key order; yield each page's number of deletions.

        A row that a worker has locked is left for the next run, so that neither process waits for the other.
        """
        key = sa.tuple_(*self.table.primary_key)
        is_early = sa.true() if self.rises is None else self.rises < OLDER_THAN
        conditions = ((self.since < OLDER_THAN).label("is_old"), is_early.label("is_early"))
        first = page = select(*key, *conditions).order_by(*key).limit(page_rows)
        while found := transact(engine, self._delete, page, older_than):
            deleted, last = found
            yield deleted
            page = first.where(key > last)

    def _delete(
        self, connection: Connection, page: sa.Select[Any], older_than: datetime
    ) -> tuple[int, Any] | None:
        """Delete a page's expired rows; return the count and last key, or None if no old row can follow."""
        bound = {OLDER_THAN.key: older_than}
        rows = connection.execute(page, bound).all()
        if not any(row.is_early for row in rows):
            return None
        key = sa.tuple_(*self.table.primary_key)
        old = key.in_([tuple(row[:-2]) for row in rows if row.is_old])
        expired = select(*key).where(old, self.is_done, self.since < OLDER_THAN).order_by(*key)
        locked = connection.execute(expired.with_for_update(skip_locked=True, of=self.table), bound)
        going = [tuple(row) for row in locked]
        for column in self.dependent:
            connection.execute(sa.delete(column.table).where(column.in_([row[0] for row in going])))
        connection.execute(sa.delete(self.table).where(key.in_(going)))
        return len(going), tuple(rows[-1][:-2])


_C: Final = models.conversations.c
_D: Final = models.deliveries.c
_E: Final = models.processed_events.c
_L: Final = models.dead_letters.c
_P: Final = models.event_payloads.c
_O: Final = models.outbox.c
_R: Final = models.reconciliations.c
_U: Final = models.routing_updates.c

# A dead letter contains the body, so a given-up delivery is kept until its dead letter is published.
_WAITS: Final = or_(
    _D.outcome.is_(None), and_(_D.outcome == sa.literal_column("'dead'"), _D.dead_lettered_at.is_(None))
)
_HAS_OPEN_WINDOW: Final = and_(_C.conversation_id == _E.conversation_id, _C.window_opened_at.is_not(None))
_IS_UNDECIDED: Final = _U.decision.is_(None)
_HAS_OPEN_DEAD_LETTER: Final = and_(_L.idempotency_key == _E.idempotency_key, _L.decided_at.is_(None))
# The outbox has no index on event_id, so search by the conversation, which has few entries.
_IS_IN_OUTBOX: Final = and_(_O.conversation_id == _E.conversation_id, _O.event_id == _E.id)
_STAYS_IN_OUTBOX: Final = or_(_O.created_at >= OLDER_THAN, exists().where(_D.outbox_id == _O.id, _WAITS))

PAYLOADS: Final = ExpiringTable(
    models.event_payloads,
    since=_P.stored_at,
    # An undelivered event needs its body, and an unsettled event might still have to be delivered.
    is_done=and_(
        ~exists().where(_E.id == _P.event_id, _HAS_OPEN_WINDOW),
        ~exists().where(_U.event_id == _P.event_id, _IS_UNDECIDED),
        ~exists().where(_E.id == _P.event_id, _IS_IN_OUTBOX, _D.outbox_id == _O.id, _WAITS),
    ),
    rises=_P.stored_at,
)
OUTBOX: Final = ExpiringTable(
    models.outbox,
    since=_O.created_at,
    is_done=~exists().where(_D.outbox_id == _O.id, _WAITS),
    dependent=(_D.outbox_id,),
    rises=_O.created_at,
)
EVENTS: Final = ExpiringTable(
    models.processed_events,
    # The age is measured from the last copy, so an event's key stays while copies are arriving.
    since=func.coalesce(_E.last_repeated_at, _E.processed_at),
    # An event stays until it is settled, however long settle is down, and while the outbox refers to it.
    # A row that refers to an event is deleted with the event, because SQLite can reuse the event's id.
    is_done=and_(
        ~exists().where(_HAS_OPEN_WINDOW),
        ~exists().where(_U.event_id == _E.id, _IS_UNDECIDED),
        ~exists().where(_IS_IN_OUTBOX, _STAYS_IN_OUTBOX),
        # If the key were deleted, a replay of a copy that became a dead letter would take effect again.
        ~exists().where(_HAS_OPEN_DEAD_LETTER),
    ),
    dependent=(
        _P.event_id,
        models.event_conflicts.c.event_id,
        models.conversation_messages.c.event_id,
        models.message_receipts.c.event_id,
        _U.event_id,
        models.failed_receipts.c.event_id,
    ),
    rises=_E.processed_at,
)
CONVERSATIONS: Final = ExpiringTable(
    models.conversations,
    since=_C.updated_at,
    is_done=and_(
        _C.window_opened_at.is_(None),
        # Some events are kept longer than usual. If their conversation's row were deleted, the events would
        # be settled again, and an undecided update would never be settled.
        ~exists().where(_E.conversation_id == _C.conversation_id, _E.last_repeated_at > _C.updated_at),
        ~exists().where(_E.conversation_id == _C.conversation_id, _HAS_OPEN_DEAD_LETTER),
        ~exists().where(_U.conversation_id == _C.conversation_id, _IS_UNDECIDED),
        ~exists().where(_O.conversation_id == _C.conversation_id, _STAYS_IN_OUTBOX),
    ),
)
RECONCILIATIONS: Final = ExpiringTable(
    models.reconciliations,
    _R.started_at,
    # Keep the timer's unfinished comparison and its newest comparison, which contains the watermark.
    is_done=and_(
        or_(_R.started_by != TIMER, _R.finished_at.is_not(None)),
        _R.id != select(func.coalesce(func.max(_R.id), 0)).where(_R.started_by == TIMER).scalar_subquery(),
    ),
)

BODY_TABLES: Final = (
    PAYLOADS,
    ExpiringTable(models.event_conflicts, models.event_conflicts.c.last_seen_at),
    ExpiringTable(models.discarded_dead_letters, models.discarded_dead_letters.c.discarded_at),
)
"""The tables that contain raw bodies; OM_PAYLOAD_RETENTION_DAYS applies to them."""

EVENT_TABLES: Final = (
    # The outbox comes first, because an event is deleted only when the outbox no longer refers to it.
    OUTBOX,
    EVENTS,
    CONVERSATIONS,
    # A conversation's age counts from when reconcile last read it or, if it never did, from `listed_at`.
    ExpiringTable(
        models.platform_conversations,
        func.coalesce(models.platform_conversations.c.read_at, models.platform_conversations.c.listed_at),
    ),
    ExpiringTable(models.reconciliation_gaps, models.reconciliation_gaps.c.published_at),
    RECONCILIATIONS,
    ExpiringTable(models.unstored_events, models.unstored_events.c.day),
    ExpiringTable(models.edge_statistics, models.edge_statistics.c.began_at),
)
"""The tables of events and of all data about events; OM_RETENTION_DAYS applies to them."""
