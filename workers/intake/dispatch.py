"""Give a batch its effects: claim what is new, enter the conversations, call the handlers."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Final

from messaging.envelope import WEBHOOK
from messaging.errors import ConfigurationError
from workers.db.ingest import claim, enter_conversations, keep_payloads, mark_skipped, record_duplicates
from workers.handlers import conversation_message, conversation_new, conversation_updated, receipt, typing
from workers.intake.handler_call import call_handler
from workers.parsing import (
    CONVERSATION_MESSAGE,
    CONVERSATION_NEW,
    CONVERSATION_UPDATED,
    RECEIPT,
    ROUTING_STATUSES,
    TYPING,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from workers.db.ingest import WindowBounds
    from workers.handlers import Handler, Skips
    from workers.intake.progress import Progress
    from workers.parsing import Arrival, ClaimedEvent


def own_handlers(transitions: frozenset[str] = ROUTING_STATUSES) -> dict[str, Handler]:
    """Return every event type of the platform's with its handler.

    Args:
        transitions: The routing states that updates are kept for.
    """
    return {
        CONVERSATION_NEW: conversation_new,
        CONVERSATION_MESSAGE: conversation_message,
        CONVERSATION_UPDATED: conversation_updated(transitions),
        RECEIPT: receipt,
        TYPING: typing,
    }


def is_own(handler: Handler) -> bool:
    """Tell whether a handler came with this package, and not with an integrator's."""
    return handler.__module__.startswith("workers.")


NO_HANDLER: Final = "no_handler"
"""Why an event had no effect that came in one body with others that have a handler."""

TOO_OLD: Final = "too_old"
"""Why a webhook's event had no effect: the record that would show it as a duplicate may have been deleted."""


@dataclass(frozen=True, slots=True)
class Dispatched:
    """What became of a transaction's arrivals.

    Args:
        new: Events that were not known before.
        skips: Why some of them had no effect.
        conflicts: Arrivals with the key of a known event and another content.
    """

    new: Sequence[ClaimedEvent]
    skips: Skips
    conflicts: int


ENTRY_POINTS: Final = "open_messaging.handlers"


def installed_handlers(transitions: frozenset[str]) -> dict[str, tuple[Handler, ...]]:
    """Return every event type with its handlers: ours first, then the integrator's own.

    An entry point's name is the event type, `name = package.module:function` in the integrator's package.

    Args:
        transitions: The routing states that updates are kept for.

    Raises:
        ConfigurationError: An entry point does not load, or is not callable.
    """
    handlers: dict[str, tuple[Handler, ...]] = {
        event_type: (handler,) for event_type, handler in own_handlers(transitions).items()
    }
    for entry_point in sorted(entry_points(group=ENTRY_POINTS), key=lambda point: (point.name, point.value)):
        try:
            handler = entry_point.load()
        except (ImportError, AttributeError) as error:
            raise ConfigurationError(f"handler {entry_point.value} does not load: {error}") from error
        if not callable(handler):
            raise ConfigurationError(f"handler {entry_point.value} is not callable")
        handlers[entry_point.name] = (*handlers.get(entry_point.name, ()), handler)
    return handlers


def dispatch(
    connection: Connection,
    arrivals: Sequence[Arrival],
    handlers: Mapping[str, Sequence[Handler]],
    *,
    window: WindowBounds,
    transitions: frozenset[str],
    retention_us: int | None,
    now_us: int,
    progress: Progress,
) -> Dispatched:
    """Give each new event its one effect within the connection's transaction.

    What is to have none is recorded, with its reason, and touches no conversation.

    Args:
        connection: In a transaction.
        arrivals: New or not.
        handlers: Every event type with its handlers.
        window: How long a conversation's window is open.
        transitions: The routing states that updates are kept for.
        retention_us: How long events are kept; None: for ever.
        now_us: The present.
        progress: Is told when handlers have their turn.
    """
    claims = claim(connection, arrivals, now_us)
    skips: Skips = {}
    if claims.new:
        keep_payloads(connection, claims.new, now_us)
        for new in claims.new:
            if reason := new.event.skip or reason_of_age(new.arrival, retention_us, now_us):
                skips[new.event_id] = reason
        wanted = [each for each in claims.new if each.event_id not in skips] if skips else claims.new
        if wanted:
            entered = enter_conversations(connection, wanted, window, now_us, transitions=transitions)
            with progress.in_events():
                skips |= _call_handlers(connection, entered, handlers, now_us)
        mark_skipped(connection, skips)
    # Last: settle locks conversations before it updates their events.
    conflicts = record_duplicates(connection, claims.known, now_us)
    return Dispatched(claims.new, skips, conflicts)


def reason_of_age(arrival: Arrival, retention_us: int | None, now_us: int) -> str | None:
    """Return TOO_OLD if a webhook's event is older than its record would be: it may be a replayed request.

    It counts only if both the edge's clock and the database's show that age. An event that was replayed,
    reconciled or ingested may have any age.
    """
    if retention_us is None or arrival.source != WEBHOOK:
        return None
    seen_us = min(arrival.received_at_us, now_us)
    return TOO_OLD if arrival.event.occurred_at_us < seen_us - retention_us else None


def _call_handlers(
    connection: Connection,
    claimed: Sequence[ClaimedEvent],
    handlers: Mapping[str, Sequence[Handler]],
    now_us: int,
) -> Skips:
    skips: Skips = {}
    for event_type, group in _by_type(claimed).items():
        if event_type not in handlers:
            skips |= {each.event_id: NO_HANDLER for each in group}
        for handler in handlers.get(event_type, ()):
            skips |= call_handler(handler, connection, group, now_us, is_ours=is_own(handler))
    return skips


def _by_type(claimed: Sequence[ClaimedEvent]) -> dict[str, list[ClaimedEvent]]:
    """Group the events by type, each group in the order of its conversations' events; starts come first.

    A receipt starts the session of which nobody has told: what is told beside it must be told before.
    """
    groups: dict[str, list[ClaimedEvent]] = {}
    for each in sorted(claimed, key=_order):
        groups.setdefault(each.event.event_type, []).append(each)
    return dict(sorted(groups.items(), key=lambda group: group[0] != CONVERSATION_NEW))


def _order(claimed: ClaimedEvent) -> tuple[str, int, int]:
    """Sort by timestamp, sequence; the sort is stable, so that arrival decides last."""
    event = claimed.event
    return (event.conversation_id, event.occurred_at_us, event.sequence)
