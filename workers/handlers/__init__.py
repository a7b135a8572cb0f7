"""List each event type's handlers, and export the names that an integrator's handler imports.

A handler receives the transaction's connection, the new events of its type, ordered within each
conversation, and the database's time in microseconds since the epoch. It must do its work in SQL alone,
because a rollback cannot undo any other effect. It returns the ids of events that have no effect, with the
reasons, and raises no error for them. Our own handlers, except `typing`, have their own files here.
"""

from collections.abc import Collection, Mapping, Sequence
from importlib.metadata import entry_points
from typing import Final

from sqlalchemy import Connection

from messaging.errors import ConfigurationError, RejectedEventError, RetryLaterError
from workers import parsing
from workers.handlers.conversation_message import conversation_message
from workers.handlers.conversation_new import conversation_new
from workers.handlers.conversation_updated import conversation_updated
from workers.handlers.handler import Handler, Skips
from workers.handlers.receipt import receipt
from workers.parsing import ClaimedEvent

__all__ = [
    "ClaimedEvent",
    "Handler",
    "RejectedEventError",
    "RetryLaterError",
    "Skips",
    "conversation_message",
    "conversation_new",
    "conversation_updated",
    "receipt",
    "typing",
]

ENTRY_POINTS: Final = "open_messaging.handlers"

TRANSIENT_TYPES: Final = frozenset({parsing.TYPING})
"""Event types that are counted but not stored: a typing indicator is out of date before it can be used."""


def typing(connection: Connection, events: Sequence[ClaimedEvent], now_us: int) -> Skips:  # noqa: ARG001  # the signature of every handler
    """Skip typing indicators. Called if OM_STORE_TYPING is set or an integrator handles typing indicators."""
    return {claimed.event_id: "typing" for claimed in events}


OWN_HANDLERS: Final[Mapping[str, tuple[Handler, ...]]] = {
    parsing.CONVERSATION_NEW: (conversation_new,),
    parsing.CONVERSATION_MESSAGE: (conversation_message,),
    parsing.CONVERSATION_UPDATED: (conversation_updated,),
    parsing.RECEIPT: (receipt,),
    parsing.TYPING: (typing,),
}
"""The project's own handlers, by event type; every type in `parsing.EVENT_TYPES` has one."""


def installed_handlers() -> dict[str, tuple[Handler, ...]]:
    """Return the handlers of each event type: our own handlers, then those of installed packages.

    An integrator's package declares an entry point `event_type = package.module:function`. If the handler
    cannot be loaded or is not callable, a ConfigurationError is raised.
    """
    table = dict(OWN_HANDLERS)
    for entry_point in sorted(entry_points(group=ENTRY_POINTS), key=lambda point: (point.name, point.value)):
        try:
            handler = entry_point.load()
        except (ImportError, AttributeError) as error:
            raise ConfigurationError(f"handler {entry_point.value} cannot be loaded: {error}") from error
        if not callable(handler):
            raise ConfigurationError(f"handler {entry_point.value} is not callable")
        table[entry_point.name] = (*table.get(entry_point.name, ()), handler)
    return table


def unstored_types(table: Mapping[str, Collection[Handler]]) -> frozenset[str]:
    """Return the event types that are not stored: transient types for which no integrator has a handler."""
    return frozenset(kind for kind in TRANSIENT_TYPES if len(table.get(kind, ())) == 1)
