"""The table of event types and their handlers: ours, and those of installed packages."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Final

from messaging.errors import ConfigurationError
from workers.handlers import conversation_message, conversation_new, conversation_updated, receipt, typing
from workers.parsing import (
    CONVERSATION_MESSAGE,
    CONVERSATION_NEW,
    CONVERSATION_UPDATED,
    RECEIPT,
    ROUTING_STATUSES,
    TYPING,
)

if TYPE_CHECKING:
    from workers.handlers import Handler

ENTRY_POINTS: Final = "open_messaging.handlers"


def own_handlers(transitions: frozenset[str] = ROUTING_STATUSES) -> dict[str, Handler]:
    """Return every event type of the platform with its handler.

    Args:
        transitions: The routing states whose updates are kept.
    """
    return {
        CONVERSATION_NEW: conversation_new,
        CONVERSATION_MESSAGE: conversation_message,
        CONVERSATION_UPDATED: conversation_updated(transitions),
        RECEIPT: receipt,
        TYPING: typing,
    }


def installed_handlers(transitions: frozenset[str]) -> dict[str, tuple[Handler, ...]]:
    """Return every event type with its handlers: ours first, then the integrator's.

    An entry point's name is the event type: `name = package.module:function` in the integrator's package.

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


def is_own(handler: Handler) -> bool:
    """Return whether a handler is part of this package, not of an integrator's."""
    return handler.__module__.startswith("workers.")
