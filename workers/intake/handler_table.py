"""The table of event types and their handlers: ours, then the integrator's."""

from collections.abc import Collection, Mapping
from importlib.metadata import entry_points
from typing import Final

from messaging.errors import ConfigurationError
from workers import handlers, parsing

ENTRY_POINTS: Final = "open_messaging.handlers"

TRANSIENT_TYPES: Final = frozenset({parsing.TYPING})
"""These events are counted but not stored: typing is over before a service could use it."""


OWN_HANDLERS: Final[Mapping[str, tuple[handlers.Handler, ...]]] = {
    parsing.CONVERSATION_NEW: (handlers.conversation_new,),
    parsing.CONVERSATION_MESSAGE: (handlers.conversation_message,),
    parsing.CONVERSATION_UPDATED: (handlers.conversation_updated,),
    parsing.RECEIPT: (handlers.receipt,),
    parsing.TYPING: (handlers.typing,),
}
"""Every event type of the platform with its handler."""


def installed_handlers() -> dict[str, tuple[handlers.Handler, ...]]:
    """Return every event type with its handlers.

    An entry point's name is the event type: `name = package.module:function` in the integrator's package. If
    its handler does not load or is not callable, a ConfigurationError is raised.
    """
    table = dict(OWN_HANDLERS)
    for entry_point in sorted(entry_points(group=ENTRY_POINTS), key=lambda point: (point.name, point.value)):
        try:
            handler = entry_point.load()
        except (ImportError, AttributeError) as error:
            raise ConfigurationError(f"handler {entry_point.value} does not load: {error}") from error
        if not callable(handler):
            raise ConfigurationError(f"handler {entry_point.value} is not callable")
        table[entry_point.name] = (*table.get(entry_point.name, ()), handler)
    return table


def unstored_types(table: Mapping[str, Collection[handlers.Handler]]) -> frozenset[str]:
    """Return the event types that need no record: transient types without an integrator's handler."""
    return frozenset(kind for kind in TRANSIENT_TYPES if len(table.get(kind, ())) == 1)
