"""Give a batch its effects: claim the new events, enter their conversations, call the handlers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Final

from sqlalchemy import Connection

from messaging.envelope import WEBHOOK
from workers.db import ingest
from workers.handlers import Handler, Skips
from workers.intake.handler_table import TimeLimit, call_handler
from workers.parsing import CONVERSATION_NEW, Arrival, ClaimedEvent

NO_HANDLER: Final = "no_handler"
"""Skip reason of an event without a handler whose body also holds events that have one."""

_get_order: Final = attrgetter("event.conversation_id", "event.occurred_at_us", "event.sequence")

TOO_OLD: Final = "too_old"
"""Skip reason of a webhook's event so old that the record of a first copy may have been deleted."""


@dataclass(frozen=True, slots=True)
class Dispatched:
    """The result of one transaction's arrivals.

    Args:
        new: Events that were not recorded before.
        skips: Reasons of those that had no effect.
        conflicts: Number of arrivals with the key of a known event and other content.
    """

    new: Sequence[ClaimedEvent]
    skips: Skips
    conflicts: int


def dispatch(
    connection: Connection,
    arrivals: Sequence[Arrival],
    handlers: Mapping[str, Sequence[Handler]],
    *,
    window: ingest.WindowBounds,
    retention_us: int | None,
    now_us: int,
    limit: TimeLimit,
) -> Dispatched:
    """Give each new event its one effect in the connection's transaction; for the options see `Intake`.

    A skipped event is recorded with its reason and does not touch its conversation.
    """
    claims = ingest.claim(connection, arrivals, now_us)
    skips: Skips = {}
    if claims.new:
        ingest.keep_payloads(connection, claims.new, now_us)
        for new in claims.new:
            if reason := new.event.skip or find_age_reason(new.arrival, retention_us, now_us):
                skips[new.event_id] = reason
        wanted = [new for new in claims.new if new.event_id not in skips] if skips else claims.new
        if wanted:
            entered = ingest.enter_conversations(connection, wanted, window, now_us)
            skips |= _call_handlers(connection, entered, handlers, now_us, limit)
        ingest.mark_skipped(connection, skips)
    # Last: settle locks conversations before it updates their events.
    conflicts = ingest.record_duplicates(connection, claims.known, now_us)
    return Dispatched(claims.new, skips, conflicts)


def find_age_reason(arrival: Arrival, retention_us: int | None, now_us: int) -> str | None:
    """Return TOO_OLD if a webhook's event is older than its record would be: it may be a replayed request.

    It counts only if the edge's clock and the database's both show that age. An event that was replayed,
    reconciled or ingested may have any age.
    """
    if retention_us is None or arrival.source != WEBHOOK:
        return None
    seen_us = min(arrival.received_at_us, now_us)
    return TOO_OLD if arrival.event.occurred_at_us < seen_us - retention_us else None


def _call_handlers(
    connection: Connection,
    events: Sequence[ClaimedEvent],
    handlers: Mapping[str, Sequence[Handler]],
    now_us: int,
    limit: TimeLimit,
) -> Skips:
    skips: Skips = {}
    for event_type, group in _group_by_type(events).items():
        if event_type not in handlers:
            skips |= {event.event_id: NO_HANDLER for event in group}
        for handler in handlers.get(event_type, ()):
            skips |= call_handler(handler, connection, group, now_us, limit)
    return skips


def _group_by_type(events: Sequence[ClaimedEvent]) -> dict[str, list[ClaimedEvent]]:
    """Group the events by type, each group in the order within its conversations; starts come first.

    A receipt opens a session that has not been announced; a start in the same batch must be announced before.
    """
    groups: dict[str, list[ClaimedEvent]] = {}
    # The sort is stable, so that of one time and sequence the arrival decides.
    for claimed in sorted(events, key=_get_order):
        groups.setdefault(claimed.event.event_type, []).append(claimed)
    return dict(sorted(groups.items(), key=lambda group: group[0] != CONVERSATION_NEW))
