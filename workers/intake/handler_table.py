"""The table of event types and handlers, and how a handler is called and its failure attributed."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from importlib.metadata import entry_points
from typing import Final, TypeAlias

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from messaging.errors import ConfigurationError, RejectedEventError, RetryLaterError
from workers import handlers
from workers.db.engine import QUERY_CANCELED, is_committable, is_outage, sqlstate
from workers.intake.failure import HANDLER_FAILED, TOO_SLOW, HandlerFailedError, describe
from workers.parsing import (
    CONVERSATION_MESSAGE,
    CONVERSATION_NEW,
    CONVERSATION_UPDATED,
    RECEIPT,
    TYPING,
    ClaimedEvent,
)

ENTRY_POINTS: Final = "open_messaging.handlers"

TimeLimit: TypeAlias = Callable[[], AbstractContextManager[None]]
"""`Watchdog.limit`: ends the process if the work within takes too long."""

LONG_SECONDS: Final = 5.0
"""A statement that was cancelled sooner was not too slow: an operator cancelled it."""

MAX_REASON_LENGTH: Final = 200
"""Of a skip reason. It is meant to be one stable word to group by; the column would take a whole message."""


def own_handlers() -> dict[str, handlers.Handler]:
    """Return every event type of the platform with its handler."""
    return {
        CONVERSATION_NEW: handlers.conversation_new,
        CONVERSATION_MESSAGE: handlers.conversation_message,
        CONVERSATION_UPDATED: handlers.conversation_updated,
        RECEIPT: handlers.receipt,
        TYPING: handlers.typing,
    }


def installed_handlers() -> dict[str, tuple[handlers.Handler, ...]]:
    """Return every event type with its handlers: ours first, then the integrator's.

    An entry point's name is the event type: `name = package.module:function` in the integrator's package. One
    that does not load, or is not callable, raises a ConfigurationError.
    """
    table: dict[str, tuple[handlers.Handler, ...]] = {
        event_type: (handler,) for event_type, handler in own_handlers().items()
    }
    for entry_point in sorted(entry_points(group=ENTRY_POINTS), key=lambda point: (point.name, point.value)):
        try:
            handler = entry_point.load()
        except (ImportError, AttributeError) as error:
            raise ConfigurationError(f"handler {entry_point.value} does not load: {error}") from error
        if not callable(handler):
            raise ConfigurationError(f"handler {entry_point.value} is not callable")
        table[entry_point.name] = (*table.get(entry_point.name, ()), handler)
    return table


def is_own(handler: handlers.Handler) -> bool:
    """Return whether a handler is part of this package, not of an integrator's."""
    return handler.__module__.startswith("workers.")


def call_handler(
    handler: handlers.Handler,
    connection: Connection,
    events: Sequence[ClaimedEvent],
    now_us: int,
    limit: TimeLimit,
) -> handlers.Skips:
    """Call *handler* with new events of its type, in the transaction that claimed them.

    The database limits the time of our own handlers, which only run statements. A failed statement of theirs
    is attributed to the database, since a missing table would fail it for any event.

    Raises:
        HandlerFailedError: The events are at fault, the handler, or the value that it returned.
        RejectedEventError: The handler reports that a retry is useless.
        DBAPIError: The database is at fault, or a row in a statement of ours.
    """
    if is_own(handler):
        return handler(connection, events, now_us)
    with limit():
        skips = _call_integrator(handler, connection, events, now_us)
    if (fault := _find_fault(skips, events)) is not None:
        raise HandlerFailedError(name_of(handler), fault)
    if not is_committable(connection):
        # It hid a failed statement, or ended the transaction: the claims would be lost without notice.
        raise HandlerFailedError(name_of(handler), "left the transaction failed or ended")
    return skips or {}


def _call_integrator(
    handler: handlers.Handler, connection: Connection, events: Sequence[ClaimedEvent], now_us: int
) -> handlers.Skips:
    started = time.monotonic()
    try:
        return handler(connection, events, now_us)
    except RejectedEventError:
        raise
    except RetryLaterError as error:
        raise HandlerFailedError(name_of(handler), describe(error), delay=error.delay) from error
    except DBAPIError as error:
        is_slow = sqlstate(error) == QUERY_CANCELED and time.monotonic() - started >= LONG_SECONDS
        if not is_slow and is_outage(error) and _has_failed(connection):
            raise
        code = TOO_SLOW if is_slow else HANDLER_FAILED
        raise HandlerFailedError(name_of(handler), describe(error), code=code) from error
    except (Exception, SystemExit) as error:
        raise HandlerFailedError(name_of(handler), describe(error)) from error


def name_of(handler: handlers.Handler) -> str:
    """Return a handler's name as an entry point would give it."""
    module = getattr(handler, "__module__", type(handler).__module__)
    return f"{module}:{getattr(handler, '__qualname__', type(handler).__qualname__)}"


def _find_fault(skips: object, events: Sequence[ClaimedEvent]) -> str | None:
    """Return what is wrong with a handler's return value, without quoting it; None: nothing.

    Unchecked, it could mark other events as skipped.
    """
    if skips is None:
        return None
    if not isinstance(skips, Mapping):
        return "returned no mapping"
    event_ids = {event.event_id for event in events}
    # True and 1.0 equal 1, and the database accepts neither as an id.
    if not all(type(key) is int and key in event_ids for key in skips):
        return "returned a reason for a key that is not an event_id of its events"
    if not all(_is_reason(reason) for reason in skips.values()):
        return f"returned a reason that is not printable text of at most {MAX_REASON_LENGTH} characters"
    return None


def _is_reason(reason: object) -> bool:
    return isinstance(reason, str) and 0 < len(reason) <= MAX_REASON_LENGTH and reason.isprintable()


def _has_failed(connection: Connection) -> bool:
    """Return whether this transaction failed, and not one of another database that the handler uses.

    A transaction in which a statement has failed accepts no other. SQLite's does, so there it is assumed.
    """
    if connection.invalidated or connection.dialect.name == "sqlite":
        return True
    try:
        connection.execute(text("SELECT 1"))
    except DBAPIError:
        return True
    return False
