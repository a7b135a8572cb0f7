"""Say which rows are kept for a time, from when on that counts, and what must be done with them first."""

from __future__ import annotations

from typing import Final

from sqlalchemy import and_, exists, func, literal_column, or_, select, true

from workers.db.models import (
    conversation_messages,
    conversations,
    deliveries,
    discarded_letters,
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
from workers.db.retention.pages import OLDER_THAN, KeptByTime, KeptGroups, KeptRows

_D: Final = deliveries.c
# A letter holds the body, so what is given up waits as well until its letter is published.
_WAITS: Final = or_(
    _D.outcome.is_(None), and_(_D.outcome == literal_column("'dead'"), _D.dead_lettered_at.is_(None))
)
_E: Final = processed_events.c
_HAS_OPEN_WINDOW: Final = and_(
    conversations.c.conversation_id == _E.conversation_id, conversations.c.window_opened_at.is_not(None)
)
_IS_UNDECIDED: Final = routing_updates.c.decision.is_(None)
# There is no index by event; a conversation's entries are few.
_IS_TOLD_OF: Final = and_(outbox.c.conversation_id == _E.conversation_id, outbox.c.event_id == _E.id)
_STAYS_IN_OUTBOX: Final = or_(
    outbox.c.created_at >= OLDER_THAN, exists().where(_D.outbox_id == outbox.c.id, _WAITS)
)

KEPT_PAYLOADS: Final = KeptGroups(
    event_payloads,
    since=event_payloads.c.stored_at,
    # What is still to be told is told with its body, and is not known before it is settled.
    is_done=and_(
        ~exists().where(_E.id == event_payloads.c.event_id, _HAS_OPEN_WINDOW),
        ~exists().where(routing_updates.c.event_id == event_payloads.c.event_id, _IS_UNDECIDED),
        ~exists().where(_E.id == event_payloads.c.event_id, _IS_TOLD_OF, _D.outbox_id == outbox.c.id, _WAITS),
    ),
    hanging=(),
    rises=event_payloads.c.stored_at,
)
KEPT_CONFLICTS: Final = KeptRows(duplicate_events, duplicate_events.c.last_seen_at)
KEPT_DISCARDED: Final = KeptRows(discarded_letters, discarded_letters.c.discarded_at)

KEPT_OUTBOX: Final = KeptGroups(
    outbox,
    since=outbox.c.created_at,
    is_done=~exists().where(_D.outbox_id == outbox.c.id, _WAITS),
    hanging=(_D.outbox_id,),
    rises=outbox.c.created_at,
)
KEPT_EVENTS: Final = KeptGroups(
    processed_events,
    # From the last copy on: as long as copies come, the key that refuses them stays.
    since=func.coalesce(_E.last_delivered_at, _E.processed_at),
    # What nobody has settled yet is not history, however long the settling is away. Nor is what the outbox
    # names: no table's row outlives its event, since SQLite gives the highest id once more when it is free.
    is_done=and_(
        ~exists().where(_HAS_OPEN_WINDOW),
        ~exists().where(routing_updates.c.event_id == _E.id, _IS_UNDECIDED),
        ~exists().where(_IS_TOLD_OF, _STAYS_IN_OUTBOX),
    ),
    hanging=(
        event_payloads.c.event_id,
        duplicate_events.c.event_id,
        conversation_messages.c.event_id,
        message_receipts.c.event_id,
        routing_updates.c.event_id,
        failed_receipts.c.event_id,
    ),
    rises=_E.processed_at,
)
KEPT_CONVERSATIONS: Final = KeptGroups(
    conversations,
    since=conversations.c.updated_at,
    is_done=and_(
        conversations.c.window_opened_at.is_(None),
        # Events outlast their conversation's last change where copies came, an update waits, or the outbox
        # names them. Without its row, what is settled of them would be settled again, and the update never.
        ~exists().where(
            processed_events.c.conversation_id == conversations.c.conversation_id,
            processed_events.c.last_delivered_at > conversations.c.updated_at,
        ),
        ~exists().where(
            routing_updates.c.conversation_id == conversations.c.conversation_id,
            _IS_UNDECIDED,
        ),
        ~exists().where(outbox.c.conversation_id == conversations.c.conversation_id, _STAYS_IN_OUTBOX),
    ),
    hanging=(),
    rises=None,
)
KEPT_PLATFORM_CONVERSATIONS: Final = KeptGroups(
    platform_conversations,
    since=func.coalesce(platform_conversations.c.read_at, platform_conversations.c.listed_at),
    # One that is compared is read; one that comes up again is compared anew.
    is_done=true(),
    hanging=(),
    rises=None,
)

_R: Final = reconciliations.c
KEPT_GAPS: Final = KeptByTime(reconciliation_gaps, reconciliation_gaps.c.published_at)
KEPT_RECONCILIATIONS: Final = KeptByTime(
    reconciliations,
    reconciliations.c.started_at,
    # What is under way goes on; the newest of the timer's holds the watermark, however long none follows.
    is_done=and_(
        or_(_R.started_by != TIMER, _R.finished_at.is_not(None)),
        _R.id != select(func.coalesce(func.max(_R.id), 0)).where(_R.started_by == TIMER).scalar_subquery(),
    ),
)
KEPT_UNSTORED: Final = KeptByTime(unstored_events, unstored_events.c.day)
KEPT_EDGE_STATISTICS: Final = KeptByTime(edge_statistics, edge_statistics.c.began_at)
