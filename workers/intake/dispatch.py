"""Carry out a batch's effects: claim new events, add them to their conversations, call the handlers."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from operator import attrgetter
from typing import Final, TypeAlias

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from messaging.envelope import WEBHOOK
from messaging.errors import RejectedEventError, RetryLaterError
from workers.db import ingest
from workers.db.engine import QUERY_CANCELED, is_committable, is_outage, sqlstate
from workers.handlers import Handler, Skips
from workers.intake.failure import HANDLER_FAILED, TOO_SLOW, HandlerFailedError, describe
from workers.parsing import CONVERSATION_NEW, Arrival, ClaimedEvent

NO_HANDLER: Final = "no_handler"
"""Skip reason for an event whose type has no handler, if another event in the same body has a handler."""

TOO_OLD: Final = "too_old"
"""Skip reason for an old webhook event: it might be a copy of an event that the retain role has deleted."""

LONG_SECONDS: Final = 5.0
"""If a handler's statement is cancelled sooner than this, an operator cancelled it; it was not too slow."""

MAX_REASON_LENGTH: Final = 200
"""Longest skip reason that a handler may return. Short, stable codes are better: they can be counted."""

TimeLimit: TypeAlias = Callable[[], AbstractContextManager[None]]
"""The type of `Watchdog.limit`: if the work inside this context takes too long, the process ends."""

_get_order: Final = attrgetter("event.conversation_id", "event.occurred_at_us", "event.sequence")


@dataclass(frozen=True, slots=True)
class Dispatched:
    """The result of dispatching one transaction's arrivals. The `new` events had not been recorded before.

    `conflicts` counts the arrivals that have the key of a known event but different content.
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
    """Give each new event its effect, in the connection's transaction. `Intake` explains the options.

    A skipped event is recorded with its reason, and its conversation is left unchanged.
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
            for event_type, group in _group_by_type(entered).items():
                if event_type not in handlers:
                    skips |= {event.event_id: NO_HANDLER for event in group}
                for handler in handlers.get(event_type, ()):
                    skips |= call_handler(handler, connection, group, now_us, limit)
        ingest.mark_skipped(connection, skips)
    # Update known events last, because settle also locks conversations before it updates their events.
    conflicts = ingest.record_duplicates(connection, claims.known, now_us)
    return Dispatched(claims.new, skips, conflicts)


def find_age_reason(arrival: Arrival, retention_us: int | None, now_us: int) -> str | None:
    """Return TOO_OLD if a webhook's event is older than the retention time: it might repeat a deleted event.

    Both the edge's clock and the database's clock must show that the event is too old. An event from another
    source (replay, reconcile or ingest) may have any age.
    """
    if retention_us is None or arrival.source != WEBHOOK:
        return None
    seen_us = min(arrival.received_at_us, now_us)
    return TOO_OLD if arrival.event.occurred_at_us < seen_us - retention_us else None


def _group_by_type(events: Sequence[ClaimedEvent]) -> dict[str, list[ClaimedEvent]]:
    """Group events by type, ordered within each conversation; the first group holds the starts, if any.

    A receipt opens a session if none is open, so a start in the same batch must be processed first.
    """
    groups: dict[str, list[ClaimedEvent]] = {}
    # The sort is stable: events with the same time and sequence keep their order of arrival.
    for claimed in sorted(events, key=_get_order):
        groups.setdefault(claimed.event.event_type, []).append(claimed)
    return dict(sorted(groups.items(), key=lambda group: group[0] != CONVERSATION_NEW))


def call_handler(
    handler: Handler, connection: Connection, events: Sequence[ClaimedEvent], now_us: int, limit: TimeLimit
) -> Skips:
    """Call *handler* with new events of its type, in the transaction that claimed them.

    Our own handlers only run SQL statements, and the database limits their time. If such a statement fails,
    the database counts as the cause, since a missing table would make the statement fail for any event.

    Raises:
        HandlerFailedError: The handler failed on these events, or its return value is not valid.
        RejectedEventError: The handler reports that a retry is useless.
        DBAPIError: The database failed, or it refused a row of one of our own statements.
    """
    module = getattr(handler, "__module__", type(handler).__module__)
    if module.startswith("workers."):
        return handler(connection, events, now_us)
    # An entry point names its handler in the same form, package.module:function.
    name = f"{module}:{getattr(handler, '__qualname__', type(handler).__qualname__)}"
    started = time.monotonic()
    try:
        with limit():
            skips = handler(connection, events, now_us)
    except RejectedEventError:
        raise
    except RetryLaterError as error:
        raise HandlerFailedError(name, describe(error), delay=error.delay) from error
    except DBAPIError as error:
        is_slow = sqlstate(error) == QUERY_CANCELED and time.monotonic() - started >= LONG_SECONDS
        if not is_slow and is_outage(error) and _has_failed(connection):
            raise
        code = TOO_SLOW if is_slow else HANDLER_FAILED
        raise HandlerFailedError(name, describe(error), code=code) from error
    except (Exception, SystemExit) as error:
        raise HandlerFailedError(name, describe(error)) from error
    if (fault := _find_fault(skips, events)) is not None:
        raise HandlerFailedError(name, fault)
    if not is_committable(connection):
        # The handler hid a failed statement or ended the transaction, so the claims would be lost unnoticed.
        raise HandlerFailedError(name, "failed or ended the transaction without raising an error")
    return skips or {}


def _find_fault(skips: object, events: Sequence[ClaimedEvent]) -> str | None:
    """Return what is wrong with a handler's return value, without quoting it; None if it is valid.

    Without this check, a handler could mark other handlers' events as skipped.
    """
    if skips is None:
        return None
    if not isinstance(skips, Mapping):
        return "did not return a mapping"
    event_ids = {event.event_id for event in events}
    # Compare the type, because True and 1.0 equal 1, but the database does not accept them as ids.
    if not all(type(key) is int and key in event_ids for key in skips):
        return "returned a reason for a key that is not an event_id of its events"
    for reason in skips.values():
        is_text = isinstance(reason, str) and 0 < len(reason) <= MAX_REASON_LENGTH and reason.isprintable()
        if not is_text:
            return f"returned a reason that is not printable text of at most {MAX_REASON_LENGTH} characters"
    return None


def _has_failed(connection: Connection) -> bool:
    """Return whether this transaction has failed; the error might come from a handler's own database.

    After a failure, PostgreSQL refuses further statements. SQLite accepts them, so a failure is
    assumed there.
    """
    if connection.invalidated or connection.dialect.name == "sqlite":
        return True
    try:
        connection.execute(text("SELECT 1"))
    except DBAPIError:
        return True
    return False
