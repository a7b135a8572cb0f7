"""Call a handler, and say of what it raises whether it is the event's fault."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from messaging.errors import RejectedEventError, RetryLaterError
from workers.db.engine import QUERY_CANCELED, is_committable, is_outage, sqlstate
from workers.intake.failure import HANDLER_FAILED, TOO_SLOW, HandlerFailedError, described

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from workers.handlers import Handler, Skips
    from workers.parsing import ClaimedEvent

LONG_SECONDS: Final = 5.0
"""A statement that was cancelled sooner did not take too long: a person cancelled it."""

REASON_LENGTH: Final = 200
"""Of why an event had no effect: one stable word to group by; the column would take a whole message."""


def call_handler(
    handler: Handler,
    connection: Connection,
    claimed: Sequence[ClaimedEvent],
    now_us: int,
    *,
    is_ours: bool,
) -> Skips:
    """Call *handler* within the connection's transaction.

    Args:
        handler: One of ours or an integrator's.
        connection: In the transaction that claimed the events.
        claimed: New events of the handler's type.
        now_us: The present.
        is_ours: Whether its statements are: one that fails for want of a table would fail for any event.

    Raises:
        HandlerFailedError: The events are at fault, the handler, or what it returned.
        RejectedEventError: The handler says that no retry can help.
        DBAPIError: The database is at fault, or a row in a statement of ours.
    """
    started = time.monotonic()
    try:
        skips = handler(connection, claimed, now_us)
    except RejectedEventError:
        raise
    except RetryLaterError as error:
        raise HandlerFailedError(name_of(handler), described(error), delay=error.delay) from error
    except DBAPIError as error:
        code = _code_of(error, time.monotonic() - started)
        if is_ours or (code == HANDLER_FAILED and is_outage(error) and _is_of(connection)):
            raise
        raise HandlerFailedError(name_of(handler), described(error), code=code) from error
    except (Exception, SystemExit) as error:
        raise HandlerFailedError(name_of(handler), described(error)) from error
    if is_ours:
        return skips
    if (fault := _fault_of(skips, claimed)) is not None:
        raise HandlerFailedError(name_of(handler), fault)
    if not is_committable(connection):
        # It hid a failed statement, or ended the transaction: the claims would be gone without a word.
        raise HandlerFailedError(name_of(handler), "left the transaction failed or ended")
    return skips or {}


def name_of(handler: Handler) -> str:
    """Return a handler's name, as an entry point would give it."""
    module = getattr(handler, "__module__", type(handler).__module__)
    return f"{module}:{getattr(handler, '__qualname__', type(handler).__qualname__)}"


def _fault_of(skips: object, claimed: Sequence[ClaimedEvent]) -> str | None:
    """Say what is wrong with what a handler returned, naming no value; None: nothing.

    Unchecked, it would mark the events of others as skipped.
    """
    if skips is None:
        return None
    if not isinstance(skips, Mapping):
        return "returned no mapping"
    event_ids = {each.event_id for each in claimed}
    # True and 1.0 equal 1, and the database knows neither for an id.
    if not all(type(key) is int and key in event_ids for key in skips):
        return "returned a reason for what is no event_id of its events"
    if not all(_is_reason(reason) for reason in skips.values()):
        return f"returned a reason that is no printable text of at most {REASON_LENGTH} characters"
    return None


def _is_reason(reason: object) -> bool:
    return isinstance(reason, str) and 0 < len(reason) <= REASON_LENGTH and reason.isprintable()


def _code_of(error: DBAPIError, seconds: float) -> str:
    is_too_slow = sqlstate(error) == QUERY_CANCELED and seconds >= LONG_SECONDS
    return TOO_SLOW if is_too_slow else HANDLER_FAILED


def _is_of(connection: Connection) -> bool:
    """Return whether a failure was of this transaction, and not of another database of the handler's.

    A transaction in which a statement has failed takes no other. SQLite's does, so there it must be believed.
    """
    if connection.invalidated or connection.dialect.name == "sqlite":
        return True
    try:
        connection.execute(text("SELECT 1"))
    except DBAPIError:
        return True
    return False
